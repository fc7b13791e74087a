"""Which images of a set might be twins: the nearest at 16×16 positions, in any orientation."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.twins.squares import COARSE, ORIENTATIONS, filled, in_blocks, oriented

COUNT = 8  # candidates of each image
STEPS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))  # coarse shifts that are tried


class Candidates(NamedTuple):
  """Pairs of images to compare closely; each int [m]."""

  queries: np.ndarray  # indices of the first images
  references: np.ndarray  # indices of the second ones
  # What brings a query nearest to its reference: orientation · len(STEPS) + the shift's index.
  moves: np.ndarray


def find_candidates(coarse: np.ndarray, queries: np.ndarray, references: np.ndarray) -> Candidates:
  """Finds the references that correlate most with each query, in 8 orientations and 5 shifts.

  Args:
    coarse: of `Description`, float32 [n, 256].
    queries: int [q], indices of images.
    references: int [r], indices of images. An image is never its own reference.

  Returns:
    COUNT pairs of each query, or fewer if there are fewer references; in the order of the
    queries, the most similar reference first.
  """
  count = min(COUNT, len(references) - bool(np.isin(queries, references).any()))
  if count < 1 or not len(queries):
    return Candidates(*np.zeros((3, 0), np.int64))
  columns = jnp.asarray(coarse[references].T)
  nearest, moves = [], []
  for block in in_blocks(queries, 'searching twins'):
    itself = np.where(np.isin(block, references), block, -1)
    best, move = _nearest_columns(filled(coarse[block]), columns, filled(itself), references, count)
    nearest.append(np.asarray(best)[: len(block)])
    moves.append(np.asarray(move)[: len(block)])
  chosen = references[np.concatenate(nearest).ravel()]
  return Candidates(np.repeat(queries, count), chosen, np.concatenate(moves).ravel())


@functools.partial(jax.jit, static_argnames='count')
def _nearest_columns(
  rows: jax.Array, columns: jax.Array, itself: jax.Array, names: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """Indices int32 [rows, count] of the most similar columns, and of the moves to them."""

  def better(best, move):
    index, sources = move
    value = rows[:, sources] @ columns
    return (jnp.maximum(best[0], value), jnp.where(value > best[0], index, best[1])), None

  # For each move, where the positions of a moved square come from: int32 [40, 256].
  square = np.arange(COARSE * COARSE).reshape(1, COARSE, COARSE)
  moved = [np.roll(oriented(square, k), s, (1, 2)) for k in range(ORIENTATIONS) for s in STEPS]
  sources = np.stack(moved).reshape(-1, COARSE * COARSE).astype(np.int32)
  shape = len(rows), columns.shape[1]
  start = jnp.full(shape, -2.0), jnp.zeros(shape, jnp.int8)
  moves = jnp.arange(len(sources), dtype=jnp.int8), jnp.asarray(sources)
  (value, move), _ = jax.lax.scan(better, start, moves)
  value = jnp.where(itself[:, None] == names, -3.0, value)
  _, best = jax.lax.top_k(value, count)
  return best, jnp.take_along_axis(move, best, 1)
