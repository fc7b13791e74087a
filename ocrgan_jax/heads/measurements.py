"""What the heads look at: local statistics of frequency bands, and the strongest fine detail.

The paper's premise (Fig. 3a) is that normal and anomalous images differ in their frequencies. The
bands are differences of Gaussian low-passes of the grey image, roughly an octave apart; the
statistics measure the energy around a pixel of the bright and of the dark side of each band.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ocrgan_jax.core.linear_filters import (
  filter_planes,
  gaussian_matrix,
  halved,
  repeat_border,
)

SIZE = 256  # larger images are averaged to this many pixels a side for the statistics
POSITIONS, PIXELS = 32, 8  # positions a side, and pixels per position at least
CELLS, CELL_PIXELS = 64, 4  # cells a side in which the strongest detail is kept, likewise
# Fine detail: bands between low-passes, in pixels of the image itself; 0 is the image.
FINE_BANDS = ((0.0, 1.0), (1.0, 2.0), (2.0, 4.0))
# Standard deviations of the low-passes in pixels; a band is the difference of two neighbours.
LOW_PASSES = (1.0, 1.9, 3.2, 5.2, 8.4)
COLOUR_PASSES = (1.0, 1.9, 5.2)
DIRECTED_BANDS = 4  # the finest bands, which are also measured in four directions
LOCAL = 3.0  # standard deviation of the local mean, in pixels at 256; grows with √size
BAND_SMOOTHING = 1.0  # sigma for smoothing the bands, in pixels at half size
LOG_OFFSET = 0.006  # added before the logarithm, for images in [-1, 1]

BANDS = len(LOW_PASSES)
ENERGIES = 2 * BANDS  # the first channels: log energy of each side of each band
CHANNELS = ENERGIES + 3 + (BANDS - 1) + 4 * DIRECTED_BANDS + 2 * (len(COLOUR_PASSES) - 1)


class Measurements(NamedTuple):
  """What is measured in a batch of images.

  Attributes:
    statistics: float32 [batch, p, p, CHANNELS]: energies, means of the colours, bands, directions,
      energies of colour differences.
    detail: the strongest fine detail in each cell, float32 [batch, q, q, 2 len(FINE_BANDS)], at
      least 0; for each band its bright side, then its dark side.
    valid: bool [batch, q, q], False for cells to ignore; None if all count.
  """

  statistics: Any
  detail: Any
  valid: Any


def measure(images: jax.Array, valid: jax.Array | None = None) -> Measurements:
  """Measures images.

  Args:
    images: float [batch, size, size, 3] in [-1, 1]; size a power of two.
    valid: bool [batch, size, size], False for pixels to ignore; None if all count. A cell counts
      if all its pixels do.

  Returns:
    The measurements; see `grid_sides` for p and q.
  """
  size = images.shape[1]
  positions, cells = grid_sides(size)
  detail = pool_max(_fine_detail(images.mean(-1)), cells)
  shrunk = pool_mean(images, SIZE) if size > SIZE else images
  statistics = pool_mean(_statistics(shrunk), positions)
  if valid is not None:
    valid = pool_max(1.0 - valid[..., None], cells)[..., 0] == 0
  return Measurements(statistics, detail, valid)


def grid_sides(size: int) -> tuple[int, int]:
  """The number of positions and of cells a side for images of that many pixels a side."""
  return min(POSITIONS, size // PIXELS), min(CELLS, size // CELL_PIXELS)


def pool_mean(x: Any, side: int) -> jax.Array:
  """Averages [batch, n, n, c] to [batch, side, side, c]; returns it as it is if n is `side`."""
  return x if x.shape[1] == side else _blocks(x, side).mean((2, 4))


def pool_max(x: Any, side: int) -> jax.Array:
  """Takes the maximum of blocks: [batch, n, n, c] → [batch, side, side, c]."""
  return x if x.shape[1] == side else _blocks(x, side).max((2, 4))


def _blocks(x: jax.Array, side: int) -> jax.Array:
  step = x.shape[1] // side
  return x.reshape(x.shape[0], side, step, side, step, x.shape[-1])


def _fine_detail(grey: jax.Array) -> jax.Array:
  """[batch, size, size] → [batch, size, size, 2 len(FINE_BANDS)]: bright and dark side."""
  size, planes = grey.shape[1], grey[:, None]
  low = {
    s: filter_planes(planes, gaussian_matrix(size, s)) for pair in FINE_BANDS for s in pair if s
  }
  low[0.0] = planes
  bands = [low[fine] - low[coarse] for fine, coarse in FINE_BANDS]
  sides_of = [jnp.maximum(sign * band, 0.0) for band in bands for sign in (1, -1)]
  return jnp.concatenate(sides_of, axis=1).transpose(0, 2, 3, 1)


def _statistics(images: jax.Array) -> jax.Array:
  """[batch, size, size, 3] → float32 [batch, size / 2, size / 2, CHANNELS]."""
  size, half = images.shape[1], images.shape[1] // 2
  local = LOCAL * (size / 256) ** 0.5
  grey, colours = images.mean(-1)[:, None], images.transpose(0, 3, 1, 2)
  red, green, blue = colours[:, 0], colours[:, 1], colours[:, 2]
  opponents = jnp.stack([red - green, (red + green) / 2 - blue], axis=1)
  finest = filter_planes(grey, gaussian_matrix(size, LOW_PASSES[0]))
  at_half = lambda x, s: filter_planes(x, halved(gaussian_matrix(size, s)))
  low = jnp.concatenate([at_half(grey, s) for s in LOW_PASSES], axis=1)
  bands = low[:, :-1] - low[:, 1:]
  colour_low = [at_half(opponents, s) for s in COLOUR_PASSES]
  both = lambda x: jnp.concatenate([jnp.maximum(x, 0.0), jnp.maximum(-x, 0.0)], axis=1)
  fine_parts = [both(grey - finest), jnp.abs(differences(finest)), colours]
  fine = filter_planes(jnp.concatenate(fine_parts, axis=1), halved(gaussian_matrix(size, local)))
  coarse_parts = [both(bands), jnp.abs(differences(low[:, 1:DIRECTED_BANDS]))]
  coarse_parts += [jnp.abs(a - b) for a, b in itertools.pairwise(colour_low)]
  coarse = filter_planes(jnp.concatenate(coarse_parts, axis=1), gaussian_matrix(half, local / 2))
  split = 2 * (BANDS - 1)
  directions = split + 4 * (DIRECTED_BANDS - 1)
  log = lambda x: jnp.log(x + LOG_OFFSET)
  channels = [
    log(2 * fine[:, :2]),
    log(2 * coarse[:, :split]),
    fine[:, 6:],
    filter_planes(bands, gaussian_matrix(half, BAND_SMOOTHING)),
    log(fine[:, 2:6]),
    log(coarse[:, split:]),
  ]
  assert coarse.shape[1] == directions + 2 * (len(COLOUR_PASSES) - 1)
  return jnp.concatenate(channels, axis=1).transpose(0, 2, 3, 1)


def differences(planes: jax.Array) -> jax.Array:
  """Central differences in four directions: [batch, p, n, n] → [batch, 4 p, n, n]."""
  batch, count, height, width = planes.shape
  padded = repeat_border(planes, (2, 3))

  def at(down: int, right: int) -> jax.Array:
    return padded[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

  pairs = [((0, 1), (0, -1)), ((1, 0), (-1, 0)), ((1, 1), (-1, -1)), ((1, -1), (-1, 1))]
  stacked = jnp.stack([at(*first) - at(*second) for first, second in pairs], axis=2)
  return stacked.reshape(batch, 4 * count, height, width)
