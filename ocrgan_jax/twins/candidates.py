"""The coarsely nearest images of each image, in any orientation."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.twins.squares import COARSE, ORIENTATIONS, oriented, padded

STEPS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))  # coarse shifts that are tried


class Candidates(NamedTuple):
  """Pairs of images to compare closely; each int [m].

  Attributes:
    queries: numbers of the first images.
    references: numbers of the second ones.
    moves: number of the orientation times the number of STEPS, plus the number of the shift, that
      bring the query nearest to the reference.
  """

  queries: np.ndarray
  references: np.ndarray
  moves: np.ndarray


def find_candidates(
  coarse: np.ndarray, queries: np.ndarray, references: np.ndarray, count: int, block: int
) -> Candidates:
  """Finds the references that correlate most with each query, in 8 orientations and 5 shifts.

  Args:
    coarse: of `Description`, float32 [n, 256].
    queries: int [q], numbers of images.
    references: int [r], numbers of images. An image is never its own reference.
    count: references of each query; fewer if there are fewer.
    block: queries that are compared at a time; no result depends on it.

  Returns:
    `count` pairs of each query, in the order of the queries, the most similar reference first.
  """
  count = min(count, len(references) - bool(np.isin(queries, references).any()))
  if count < 1 or not len(queries):
    return Candidates(*(np.zeros(0, np.int64) for _ in range(3)))
  columns = jnp.asarray(coarse[references].T)
  found, moves = [], []
  for start in range(0, len(queries), block):
    rows = queries[start : start + block]
    itself = np.where(np.isin(rows, references), rows, -1)
    best, move = _nearest_columns(
      padded(coarse[rows], block), columns, padded(itself, block), references, count
    )
    found.append(np.asarray(best)[: len(rows)])
    moves.append(np.asarray(move)[: len(rows)])
  chosen = references[np.concatenate(found).ravel()]
  return Candidates(np.repeat(queries, count), chosen, np.concatenate(moves).ravel())


@functools.cache
def _variants() -> np.ndarray:
  """int32 [40, 256]: where the positions of each moved coarse square come from."""
  square = np.arange(COARSE * COARSE).reshape(1, COARSE, COARSE)
  moved = [np.roll(oriented(square, k), s, (1, 2)) for k in range(ORIENTATIONS) for s in STEPS]
  return np.stack(moved).reshape(-1, COARSE * COARSE).astype(np.int32)


@functools.partial(jax.jit, static_argnames='count')
def _nearest_columns(
  rows: jax.Array, columns: jax.Array, itself: jax.Array, names: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """Numbers int32 [rows, count] of the most similar columns, and of the moves to them."""

  def better(best, move):
    number, sources = move
    value = rows[:, sources] @ columns
    return (jnp.maximum(best[0], value), jnp.where(value > best[0], number, best[1])), None

  shape = len(rows), columns.shape[1]
  start = jnp.full(shape, -2.0), jnp.zeros(shape, jnp.int8)
  variants = _variants()
  numbers = jnp.arange(len(variants), dtype=jnp.int8)
  (value, move), _ = jax.lax.scan(better, start, (numbers, jnp.asarray(variants)))
  value = jnp.where(itself[:, None] == names, -3.0, value)
  _, best = jax.lax.top_k(value, count)
  return best, jnp.take_along_axis(move, best, 1)
