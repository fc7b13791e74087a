"""The maps of each head: how far each place of an image is from normal images.

- `energy`: the energies of the bands at a position, given the rest of the image. Finds changed
  texture.
- `statistics`: all statistics at a position, given the rest. Finds changed shape or colour.
- `whole`: the same, averaged to 8×8 positions. Finds a different product.
- `bright`, `dark`: the strongest fine detail of that sign. Find scratches, cracks, holes.
- `looks`: statistics, compared with 2,048 places of training images. Finds looks that occur
  nowhere, also on products that turn.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.heads.measurements import ENERGIES, FINE_BANDS, Measurements, pool_mean

WHOLE = 8  # positions a side, at most, of the head `whole` and of the regression's inputs

# Head → shares of its map's area. Each yields a score: the RMS of the largest values over it.
SHARES: dict[str, tuple[float, ...]] = {
  'energy': (0.001, 0.01),
  'statistics': (0.001, 0.01),
  'whole': (0.01, 1.0),
  'bright': (0.001,),
  'dark': (0.001,),
  'looks': (0.001, 0.1),
}
# Heads of fine detail → their channels of `Measurements.detail`.
SIGNS = {'bright': slice(0, None, 2), 'dark': slice(1, None, 2)}
# Head → what it sees, in the words of reports.
DESCRIPTIONS = {
  'energy': 'texture',
  'statistics': 'shape or colour',
  'whole': 'whole image: large parts differ',
  'bright': 'bright fine detail',
  'dark': 'dark fine detail',
  'looks': 'unfamiliar look',
}


class Heads(NamedTuple):
  """The heads, fitted to normal images. Arrays of heads that are off are None.

  Attributes:
    mean: of the statistics, float32 [p, p, CHANNELS].
    whiten_inputs: whitening of the regression's inputs, float32 [w, w, c, c].
    basis: of the regression, float32 [w w c, k].
    response: of the statistics to its coefficients, float32 [k, p, p, c].
    energy: whitening of what is left of the energies, float32 [p, p, ENERGIES, ENERGIES].
    statistics: the same of all statistics, float32 [p, p, c, c].
    whole: the same of their means, float32 [w, w, c, c].
    bright: what is usual of that side of fine detail around a cell, float32
      [q, q, len(FINE_BANDS)].
    dark: the same.
    memory: statistics of places of training images, standardised, float32 [places, c].
    memory_mean: of them, float32 [c].
    memory_scale: float32 [c].
    tails: how the scores of these heads are distributed over normal images, in the order of SHARES.
  """

  mean: Any
  whiten_inputs: Any
  basis: Any
  response: Any
  energy: Any
  statistics: Any
  whole: Any
  bright: Any
  dark: Any
  memory: Any
  memory_mean: Any
  memory_scale: Any
  tails: Any


def head_maps(heads: Heads, measured: Measurements) -> dict[str, list[jax.Array]]:
  """Computes the maps of all heads that are on.

  Args:
    heads: fitted.
    measured: from `measure`.

  Returns:
    Head → its maps, float32 [batch, side, side], in the order of SHARES: one, or one per fine band.
  """
  maps: dict[str, list[Any]] = {}
  if any(x is not None for x in (heads.energy, heads.statistics, heads.whole)):
    maps.update(residual_maps(heads, unexplained(heads, measured.statistics)))
  for name, side in SIGNS.items():
    unit = getattr(heads, name)
    if unit is not None:
      relative = measured.detail[..., side] / unit
      maps[name] = [relative[..., i] for i in range(len(FINE_BANDS))]
  if heads.memory is not None:
    places = look_places(measured.statistics)
    looks = (places - heads.memory_mean) / heads.memory_scale
    maps['looks'] = [nearest_look(looks, heads.memory)]
  return {name: maps[name] for name in SHARES if name in maps}


def unexplained(heads: Heads, statistics: Any) -> jax.Array:
  """What the regression leaves of statistics: [batch, p, p, CHANNELS] → the same shape."""
  deviations = statistics - heads.mean
  inputs = pool_mean(deviations, heads.whiten_inputs.shape[0])
  inputs = whiten(heads.whiten_inputs, inputs).reshape(inputs.shape[0], -1)
  coefficients = jnp.matmul(inputs, heads.basis, precision='highest')
  explained = jnp.einsum('bk,khwc->bhwc', coefficients, heads.response, precision='highest')
  return deviations - explained


def residual_maps(heads: Heads, rest: Any) -> dict[str, list[Any]]:
  """The maps of the heads that look at what the regression leaves: [batch, p, p, c] → maps."""
  maps = {}
  if heads.energy is not None:
    maps['energy'] = [root_mean_square(whiten(heads.energy, rest[..., :ENERGIES]))]
  if heads.statistics is not None:
    maps['statistics'] = [root_mean_square(whiten(heads.statistics, rest))]
  if heads.whole is not None:
    maps['whole'] = [root_mean_square(whiten(heads.whole, pool_mean(rest, heads.whole.shape[0])))]
  return maps


def look_places(statistics: Any) -> jax.Array:
  """The places that `looks` compares: means over 2×2 positions."""
  return pool_mean(statistics, max(1, statistics.shape[1] // 2))


def nearest_look(looks: Any, memory: Any, allowed: Any = None) -> jax.Array:
  """The distance of each place to the nearest one in memory.

  Args:
    looks: standardised, float32 [batch, side, side, c].
    memory: float32 [places, c].
    allowed: bool [batch, places], the places to compare with; None for all.

  Returns:
    float32 [batch, side, side], the root mean square over the channels.
  """
  products = jnp.einsum('bhwc,mc->bhwm', looks, memory, precision='highest')
  squares = jnp.square(memory).sum(-1) - 2 * products
  if allowed is not None:
    squares = jnp.where(allowed[:, None, None], squares, jnp.inf)
  squares = squares.min(-1) + jnp.square(looks).sum(-1)
  return jnp.sqrt(jnp.maximum(squares, 0.0) / looks.shape[-1])


def scores_of_maps(maps: dict[str, list[Any]], valid: Any) -> dict[str, list[jax.Array]]:
  """The scores of each head: for each map and share, the RMS of the map's largest values.

  Args:
    maps: from `head_maps`.
    valid: of the measurements.

  Returns:
    Head → float32 [batch] of each score, in the order in which `Tails` numbers them.
  """
  return {
    name: [largest(x, share, valid) for x in maps[name] for share in SHARES[name]] for name in maps
  }


def finest_scores(maps: dict[str, list[Any]]) -> dict[str, tuple[np.ndarray, jax.Array]]:
  """The score of each map that has its smallest share, so that it is most like places.

  Args:
    maps: from `head_maps`.

  Returns:
    Head → the numbers of these scores, int [k], and their maps, float32 [k, batch, side, side].
  """
  found, number = {}, 0
  for name, own in maps.items():
    shares = len(SHARES[name])
    found[name] = number + shares * np.arange(len(own)), jnp.stack(own)
    number += shares * len(own)
  return found


def largest(maps: jax.Array, share: float, valid: jax.Array | None) -> jax.Array:
  """The root mean square of the largest values of maps [batch, side, side] → [batch]."""
  batch, side, _ = maps.shape
  squares, number = jnp.square(maps).reshape(batch, -1), max(1, round(share * side * side))
  limit = jnp.float32(number)
  if valid is not None:
    counted = pool_mean(valid.astype(jnp.float32)[..., None], side).reshape(batch, -1) >= 0.5
    squares = squares * counted
    limit = jnp.minimum(limit, jnp.maximum(counted.astype(jnp.float32).sum(-1), 1.0))
  if number < side * side:
    squares = jax.lax.top_k(squares, number)[0]
  return jnp.sqrt(squares.sum(-1) / limit)


def whiten(whitening: Any, x: Any) -> jax.Array:
  """Whitens by position: [h, w, c, c] and [batch, h, w, c] → [batch, h, w, c]."""
  return jnp.einsum('hwij,bhwj->bhwi', whitening, x, precision='highest')


def root_mean_square(x: jax.Array) -> jax.Array:
  """Over the last axis; about 1 for whitened deviations of normal images."""
  return jnp.sqrt(jnp.square(x).mean(-1))


def input_side(positions: int) -> int:
  """Positions a side of the regression's inputs and of the head `whole`."""
  return min(WHOLE, positions)


def on(heads: str) -> tuple[str, ...]:
  """The heads that a config names, in the order of SHARES."""
  named = {name.strip() for name in heads.split(',')}
  return tuple(name for name in SHARES if name in named)
