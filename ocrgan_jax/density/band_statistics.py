"""Local statistics of frequency bands: what an image shows at each place, nothing trained.

The paper's premise (Fig. 3a) is that normal and anomalous images differ in their
frequencies. Here the bands are octave-like differences of Gaussian low-passes of the grey
image, and what counts is how much of each there is around a pixel.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter1d

from ocrgan_jax.networks.filtering import filter_planes, repeat_border

# Standard deviations of the low-passes in pixels; a band is the difference of neighbours.
LOW_PASSES = (1.0, 1.9, 3.2, 5.2, 8.4)
DIRECTED = 4  # of them: the finest, of which directions are told apart
LOCAL = 3.0  # standard deviation of the local mean, in pixels at 256, growing with √size
BAND_SMOOTHING = 1.0  # of the bands themselves, in pixels of the statistics
LEAST = 0.006  # added before the logarithm, where images are in [-1, 1]

# Names of the statistics and how many channels each has.
CHANNELS = {
  'energy': len(LOW_PASSES),  # log of the local mean of |band|
  'colour': 3,  # local mean of red, green, blue
  'bands': len(LOW_PASSES) - 1,  # the bands below the finest
  'directions': 4 * DIRECTED,  # log of the local mean of |difference| in four directions
}


def band_statistics(images: jax.Array) -> jax.Array:
  """The statistics of images at half their resolution.

  Args:
    images: float [batch, size, size, 3] in [-1, 1], size even.

  Returns:
    float32 [batch, size / 2, size / 2, C], the CHANNELS in their order.
  """
  size = images.shape[1]
  half = size // 2
  local = LOCAL * (size / 256) ** 0.5
  grey = images.mean(-1)[:, None]
  finest = filter_planes(grey, _gaussian(size, LOW_PASSES[0]))
  to_half = _halved(_gaussian(size, local))
  low = jnp.concatenate(
    [filter_planes(grey, _halved(_gaussian(size, s))) for s in LOW_PASSES], axis=1
  )
  bands = low[:, :-1] - low[:, 1:]
  colours = images.transpose(0, 3, 1, 2)
  fine = jnp.concatenate([jnp.abs(grey - finest), jnp.abs(_differences(finest)), colours], axis=1)
  fine = filter_planes(fine, to_half)  # 1 energy, 4 directions, 3 colours
  coarse = jnp.concatenate([jnp.abs(bands), jnp.abs(_differences(low[:, 1:DIRECTED]))], axis=1)
  coarse = filter_planes(coarse, _gaussian(half, local / 2))
  count = len(LOW_PASSES) - 1
  log = lambda x: jnp.log(x + LEAST)
  channels = [
    log(fine[:, :1]),
    log(coarse[:, :count]),
    fine[:, 5:],
    filter_planes(bands, _gaussian(half, BAND_SMOOTHING)),
    log(fine[:, 1:5]),
    log(coarse[:, count:]),
  ]
  return jnp.concatenate(channels, axis=1).transpose(0, 2, 3, 1)


def channel_indices(names: str, sizes: dict[str, int] = CHANNELS) -> tuple[int, ...]:
  """The indices of the channels of some statistics, given as in 'energy,colour'.

  Args:
    names: of the statistics.
    sizes: name → number of channels, of all that there are, in their order.

  Returns:
    The indices.
  """
  ends = np.cumsum([*sizes.values()]).tolist()
  starts = dict(zip(sizes, [0, *ends[:-1]], strict=True))
  return tuple(
    i for name in names.split(',') for i in range(starts[name], starts[name] + sizes[name])
  )


def _gaussian(size: int, sigma: float) -> np.ndarray:
  """The matrix [size, size] that filters one axis; its columns are filtered unit vectors."""
  return gaussian_filter1d(np.eye(size), sigma, axis=0)


def _halved(matrix: np.ndarray) -> np.ndarray:
  """The matrix that filters and then averages pairs of pixels, [size / 2, size]."""
  return (matrix[0::2] + matrix[1::2]) / 2


def _differences(planes: jax.Array) -> jax.Array:
  """Central differences in four directions: [batch, p, n, n] → [batch, 4 p, n, n], plane first."""
  batch, count, height, width = planes.shape
  padded = repeat_border(planes, (2, 3))

  def at(down: int, right: int) -> jax.Array:
    return padded[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

  pairs = [((0, 1), (0, -1)), ((1, 0), (-1, 0)), ((1, 1), (-1, -1)), ((1, -1), (-1, 1))]
  stacked = jnp.stack([at(*first) - at(*second) for first, second in pairs], axis=2)
  return stacked.reshape(batch, 4 * count, height, width)
