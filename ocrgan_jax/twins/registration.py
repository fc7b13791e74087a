"""How well one image lies on another, once it is moved there.

A query is moved by its coarse orientation and shift, then by an affine map A (small changes of
scale and angle, as crops of one part have). A is fitted to the shifts s of 64 blocks at places p,
each weighted by how well the block correlates: A = argmin Σ w |A p - (p + s)|², and blocks that
disagree lose weight. The similarity of a pair is the correlation that is left,
Σ r q / sqrt(Σ r² Σ q²) over the positions that both have. It is computed at 64×64 positions, and
where that is promising, again at 128×128.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.twins.candidates import STEPS, Candidates
from ocrgan_jax.twins.squares import COARSE, FINE, HALF, ORIENTATIONS, filled, in_blocks, oriented

BLOCKS = 8  # blocks a side that vote for the map
PROMISING = 0.3  # the similarity at 64×64 from which on the fine one is computed
OVERLAP = 0.7  # least share of the positions that both must have


def register(fine: np.ndarray, pairs: Candidates) -> np.ndarray:
  """Moves the query of each pair onto its reference; `fine` is that of a `Description`.

  Returns:
    The similarity of each pair, float32 [m], at most 1. One below PROMISING is of 64×64 positions.
  """
  similarity = np.zeros(len(pairs.queries), np.float32)
  affine = np.zeros((len(similarity), 2, 3), np.float32)
  for rows in in_blocks(np.arange(len(similarity)), 'comparing images'):
    steps = np.array(STEPS)[filled(pairs.moves[rows]) % len(STEPS)]
    result = _register_half(*_turned(fine, pairs, rows), steps)
    similarity[rows], affine[rows] = (np.asarray(x)[: len(rows)] for x in result)
  for rows in in_blocks(np.flatnonzero(similarity > PROMISING), 'comparing closely'):
    result = _register_fine(*_turned(fine, pairs, rows), filled(affine[rows]))
    similarity[rows] = np.asarray(result)[: len(rows)]
  return similarity


def _turned(fine: np.ndarray, pairs: Candidates, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """References and turned queries of some pairs, float16 [BLOCK, 128, 128]."""
  moves, queries = pairs.moves[rows], fine[pairs.queries[rows]]
  for k in range(ORIENTATIONS):
    these = moves // len(STEPS) == k
    queries[these] = oriented(queries[these], k)
  return filled(fine[pairs.references[rows]]), filled(queries)


@jax.jit
def _register_half(
  reference: jax.Array, query: jax.Array, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Registers at 64×64: the correlation [m] and the map [m, 2, 3] in positions of 128."""
  reference, query = (
    x.astype(jnp.float32).reshape(-1, HALF, 2, HALF, 2).mean((2, 4)) for x in (reference, query)
  )
  identity = jnp.broadcast_to(jnp.eye(2, 3), (len(query), 2, 3))
  # Half of the coarse shift: no shift and the whole one are both within reach.
  start = identity.at[:, :, 2].add(-step * (HALF / COARSE / 2))
  first = _refined(reference, query, start, 4)
  second = _refined(reference, query, first, 2)
  best, affine = _correlation(reference, query, identity), identity
  for now in (first, second):
    value = _correlation(reference, query, now)
    affine = jnp.where((value > best)[:, None, None], now, affine)
    best = jnp.maximum(best, value)
  return best, affine * jnp.array([1.0, 1.0, FINE / HALF])


@jax.jit
def _register_fine(reference: jax.Array, query: jax.Array, affine: jax.Array) -> jax.Array:
  """The correlation [m] at 128×128, refined once."""
  reference, query = reference.astype(jnp.float32), query.astype(jnp.float32)
  refined = _refined(reference, query, affine, 2)
  return jnp.maximum(
    _correlation(reference, query, affine), _correlation(reference, query, refined)
  )


def _warped(x: jax.Array, affine: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Samples [m, size, size] at affine @ (y, x, 1) from the centre, with a mask of the inside."""
  size = x.shape[-1]
  axis = jnp.arange(size) - (size - 1) / 2
  grid = jnp.stack([*jnp.meshgrid(axis, axis, indexing='ij'), jnp.ones((size, size))])
  at = jnp.einsum('mij,jyx->miyx', affine, grid) + (size - 1) / 2
  inside = ((at >= 0) & (at <= size - 1)).all(1)
  sample = functools.partial(jax.scipy.ndimage.map_coordinates, order=1)
  return jax.vmap(sample)(x, (at[:, 0], at[:, 1])) * inside, inside.astype(jnp.float32)


def _correlation(reference: jax.Array, query: jax.Array, affine: jax.Array) -> jax.Array:
  """Over the positions that both have; -1 where these are too few."""
  moved, inside = _warped(query, affine)
  reference = reference * inside
  total = lambda x: x.sum((1, 2))
  scale = jnp.sqrt(total(reference**2) * total(moved**2) + 1e-9)
  return jnp.where(inside.mean((1, 2)) > OVERLAP, total(reference * moved) / scale, -1.0)


def _refined(reference: jax.Array, query: jax.Array, affine: jax.Array, reach: int) -> jax.Array:
  """Corrects the maps [m, 2, 3] by the shifts, up to `reach` positions, of 64 blocks."""
  size = reference.shape[-1]
  moved, _ = _warped(query, affine)
  shift, weight = _block_shifts(_block_correlations(reference, moved, reach))
  centre = (jnp.arange(BLOCKS) + 0.5) * (size / BLOCKS) - size / 2
  y, x = jnp.meshgrid(centre, centre, indexing='ij')
  scale = size / 4  # brings the columns to one size
  design = jnp.stack([y.ravel() / scale, x.ravel() / scale, jnp.ones(BLOCKS**2)], 1)
  ridge = jnp.diag(jnp.array([1e-3, 1e-3, 1e-5]))

  def solve(weight: jax.Array) -> jax.Array:
    weighted = design * weight[..., None]
    matrix = weighted.transpose(0, 2, 1) @ design
    matrix += ridge * (weight.sum(1)[:, None, None] + 1e-3)
    return jnp.linalg.solve(matrix, weighted.transpose(0, 2, 1) @ shift)  # [m, 3, 2]

  solution = solve(weight)
  for _ in range(3):  # blocks that disagree lose their votes
    away = jnp.square(design @ solution - shift).sum(-1)
    solution = solve(weight / (1 + away / 0.5) ** 2)
  change = solution.transpose(0, 2, 1) / jnp.array([scale, scale, 1.0]) + jnp.eye(2, 3)
  linear = affine[:, :, :2] @ change
  return linear.at[:, :, 2].add(affine[:, :, 2])


def _block_correlations(reference: jax.Array, query: jax.Array, reach: int) -> jax.Array:
  """Correlations [m, shifts, shifts, blocks, blocks], each over a block and its neighbours."""
  m, size, side = len(reference), reference.shape[-1], 2 * reach + 1
  step = size // BLOCKS
  wide = step + 2 * reach
  near = np.eye(BLOCKS) + 0.5 * (np.eye(BLOCKS, k=1) + np.eye(BLOCKS, k=-1))
  over = lambda x: near @ x @ near.T
  split = lambda x: x.reshape(m, BLOCKS, step, BLOCKS, step).transpose(0, 1, 3, 2, 4)
  energy = [over((split(x) ** 2).sum((3, 4))) for x in (reference, query)]
  at = np.arange(BLOCKS)[:, None] * step + np.arange(wide)
  padded = jnp.pad(query, ((0, 0), (reach, reach), (reach, reach)))
  areas = padded[:, at][:, :, :, at].transpose(0, 1, 3, 2, 4)
  # Each block, filled up with zeros, against the area around it: no product wraps around.
  spectrum = jnp.fft.rfft2(areas) * jnp.conj(jnp.fft.rfft2(split(reference), (wide, wide)))
  volume = jnp.fft.irfft2(spectrum, (wide, wide))[..., :side, :side].transpose(0, 3, 4, 1, 2)
  return over(volume) / jnp.sqrt(energy[0] * energy[1] + 1e-9)[:, None, None]


def _block_shifts(volume: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The shift [m, 64, 2] of each block, to a part of a position, and its weight [m, 64]."""
  m, side = volume.shape[:2]
  volume = volume.reshape(m, side, side, -1)
  flat = volume.reshape(m, side * side, -1)
  best = flat.argmax(1)
  peak = [best // side, best % side]
  shift = []
  for axis in (0, 1):
    # A parabola through the peak and its neighbours along one axis.
    middle = list(peak)
    middle[axis] = jnp.clip(peak[axis], 1, side - 2)
    value = []
    for step in (-1, 0, 1):
      row, column = (p + step * (a == axis) for a, p in enumerate(middle))
      number = (row * side + column)[:, None]
      value.append(jnp.take_along_axis(flat, number, 1)[:, 0])
    curve = jnp.minimum(value[0] - 2 * value[1] + value[2], -1e-6)
    part = jnp.clip(0.5 * (value[0] - value[2]) / curve, -0.5, 0.5)
    inner = middle[axis] == peak[axis]
    shift.append(peak[axis] - side // 2 + jnp.where(inner, part, 0.0))
  return jnp.stack(shift, -1), jnp.maximum(flat.max(1) - 0.2, 0) ** 2
