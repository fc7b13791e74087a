"""Sums over normal images, from which a density is fitted in one pass."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

CELL = 2  # side, in positions, of the cells that share a covariance

# The fit takes small differences of these sums, so it needs full precision.
_einsum = functools.partial(jnp.einsum, precision='highest')


class Moments(NamedTuple):
  """Sums over normal images.

  Attributes:
    num_images: number of images so far.
    mean: of each position, [h, w, C].
    covariance: sums of products of deviations over the positions of a cell,
      [h / 2, w / 2, C, C].
    context: sums of products of deviations with those of the images' region means,
      [h / 2, w / 2, C, regions² C].
  """

  num_images: jax.Array
  mean: jax.Array
  covariance: jax.Array
  context: jax.Array


def batch_moments(statistics: jax.Array, count: jax.Array | int, regions: int) -> Moments:
  """Computes the moments of one batch.

  Args:
    statistics: float32 [batch, h, w, C].
    count: number of images, at least 1; the rest of the batch is padding.
    regions: see `Density.regions`.

  Returns:
    The moments.
  """
  weights = (jnp.arange(len(statistics)) < count).astype(jnp.float32)
  mean = _einsum('b,bhwc->hwc', weights, statistics) / weights.sum()
  deviations = (statistics - mean) * weights[:, None, None, None]
  return Moments(weights.sum(), mean, *_products(deviations, regions))


def merge(*parts: Moments) -> Moments:
  """Merges moments by the numerically stable update of Chan, Golub and LeVeque."""
  first = parts[0]
  channels = first.mean.shape[-1]
  regions = math.isqrt(first.context.shape[-1] // channels)
  counts = jnp.stack([part.num_images for part in parts])
  shifts = jnp.stack([part.mean for part in parts]) - first.mean
  shift = _einsum('p,phwc->hwc', counts / counts.sum(), shifts)
  between = _products((shifts - shift) * jnp.sqrt(counts)[:, None, None, None], regions)
  return Moments(
    counts.sum(),
    first.mean + shift,
    sum((part.covariance for part in parts), between[0]),
    sum((part.context for part in parts), between[1]),
  )


def _products(deviations: jax.Array, regions: int) -> tuple[jax.Array, jax.Array]:
  """Sums of products of deviations [b, h, w, C] with each other and with their region means."""
  parts = to_cells(deviations)  # [b, h / 2, w / 2, 4, C]
  own = _einsum('bhwpi,bhwpj->hwij', parts, parts)
  context = region_means(deviations, regions).reshape(len(deviations), -1)
  return own, _einsum('bhwpi,bj->hwij', parts, context)


def region_means(x: jax.Array, regions: int) -> jax.Array:
  """Means over regions: [b, h, w, c] → [b, regions, regions, c]."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, regions, height // regions, regions, width // regions, channels)
  return x.mean((2, 4))


def to_cells(x: jax.Array) -> jax.Array:
  """[b, h, w, c] → [b, h / 2, w / 2, 4, c]."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // CELL, CELL, width // CELL, CELL, channels)
  return x.swapaxes(2, 3).reshape(batch, height // CELL, width // CELL, CELL**2, channels)


def to_positions(x: jax.Array) -> jax.Array:
  """[b, h / 2, w / 2, 4, …] → [b, h, w, …]."""
  batch, height, width, _, *rest = x.shape
  x = x.reshape(batch, height, width, CELL, CELL, *rest).swapaxes(2, 3)
  return x.reshape(batch, height * CELL, width * CELL, *rest)
