"""Local statistics of frequency bands, without any training.

The paper's premise (Fig. 3a) is that normal and anomalous images differ in their frequencies. The
bands are differences of Gaussian low-passes of the grey image, roughly an octave apart; the
statistics measure the energy of each band around a pixel.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter1d

from ocrgan_jax.networks.filtering import filter_planes, repeat_border

# Standard deviations of the low-passes in pixels; a band is the difference of two neighbours.
LOW_PASSES = (1.0, 1.9, 3.2, 5.2, 8.4)
DIRECTED_BANDS = 4  # the finest bands, which are also measured in four directions
LOCAL = 3.0  # standard deviation of the local mean, in pixels at 256; grows with √size
BAND_SMOOTHING = 1.0  # sigma for smoothing the bands, in pixels of the statistics
LOG_OFFSET = 0.006  # added before the logarithm, for images in [-1, 1]

# Name of a statistic → its number of channels.
CHANNELS = {
  'energy': len(LOW_PASSES),  # log of the local mean of |band|
  'colour': 3,  # local mean of red, green, blue
  'bands': len(LOW_PASSES) - 1,  # the bands below the finest
  'directions': 4 * DIRECTED_BANDS,  # log of the local mean of |difference| in four directions
}


def band_statistics(images: jax.Array) -> jax.Array:
  """Computes the statistics of images at half resolution.

  Args:
    images: float [batch, size, size, 3] in [-1, 1], size even.

  Returns:
    float32 [batch, size / 2, size / 2, C], the CHANNELS in their order.
  """
  size = images.shape[1]
  half = size // 2
  local = LOCAL * (size / 256) ** 0.5
  grey = images.mean(-1)[:, None]
  finest = filter_planes(grey, gaussian_matrix(size, LOW_PASSES[0]))
  to_half = halved(gaussian_matrix(size, local))
  low = jnp.concatenate(
    [filter_planes(grey, halved(gaussian_matrix(size, s))) for s in LOW_PASSES], axis=1
  )
  bands = low[:, :-1] - low[:, 1:]
  colours = images.transpose(0, 3, 1, 2)
  fine = jnp.concatenate([jnp.abs(grey - finest), jnp.abs(differences(finest)), colours], axis=1)
  fine = filter_planes(fine, to_half)  # 1 energy, 4 directions, 3 colours
  coarse = jnp.concatenate([jnp.abs(bands), jnp.abs(differences(low[:, 1:DIRECTED_BANDS]))], axis=1)
  coarse = filter_planes(coarse, gaussian_matrix(half, local / 2))
  count = len(LOW_PASSES) - 1
  log = lambda x: jnp.log(x + LOG_OFFSET)
  channels = [
    log(fine[:, :1]),
    log(coarse[:, :count]),
    fine[:, 5:],
    filter_planes(bands, gaussian_matrix(half, BAND_SMOOTHING)),
    log(fine[:, 1:5]),
    log(coarse[:, count:]),
  ]
  return jnp.concatenate(channels, axis=1).transpose(0, 2, 3, 1)


def channel_indices(names: str, sizes: dict[str, int] = CHANNELS) -> tuple[int, ...]:
  """Finds the channels of the named statistics.

  Args:
    names: of the statistics, as in 'energy,colour'.
    sizes: all statistics in order, name → number of channels.

  Returns:
    The channel indices.
  """
  ends = np.cumsum([*sizes.values()]).tolist()
  starts = dict(zip(sizes, [0, *ends[:-1]], strict=True))
  return tuple(
    i for name in names.split(',') for i in range(starts[name], starts[name] + sizes[name])
  )


def gaussian_matrix(size: int, sigma: float) -> np.ndarray:
  """Returns the matrix [size, size] that filters one axis: filtered unit vectors."""
  return gaussian_filter1d(np.eye(size), sigma, axis=0)


def halved(matrix: np.ndarray) -> np.ndarray:
  """Returns the matrix that filters, then averages pairs of pixels, [size / 2, size]."""
  return (matrix[0::2] + matrix[1::2]) / 2


def differences(planes: jax.Array) -> jax.Array:
  """Central differences in four directions: [batch, p, n, n] → [batch, 4 p, n, n]."""
  batch, count, height, width = planes.shape
  padded = repeat_border(planes, (2, 3))

  def at(down: int, right: int) -> jax.Array:
    return padded[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

  pairs = [((0, 1), (0, -1)), ((1, 0), (-1, 0)), ((1, 1), (-1, -1)), ((1, -1), (-1, 1))]
  stacked = jnp.stack([at(*first) - at(*second) for first, second in pairs], axis=2)
  return stacked.reshape(batch, 4 * count, height, width)
