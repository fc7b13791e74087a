"""SSIM, the structural similarity of two images."""

import jax
import numpy as np

from ocrgan_jax.networks.filtering import filter_planes

SSIM_WINDOW = 11  # side of the Gaussian window in pixels (Wang et al. 2004)
SSIM_SIGMA = 1.5  # pixels
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for images in [0, 1]


def ssim(first: jax.Array, second: jax.Array) -> jax.Array:
  """Computes the SSIM of each window inside the images.

  Args:
    first: float [batch, size, size, channels] in [-1, 1], size at least 11. It is mapped to
      [0, 1] first.
    second: shaped like `first`.

  Returns:
    float32 [batch, channels, size - 10, size - 10], 1 where the images are equal.
  """
  matrix = _windows(first.shape[1])
  x, y = ((image.transpose(0, 3, 1, 2) + 1) / 2 for image in (first, second))
  mean = lambda planes: filter_planes(planes, matrix)  # [batch, channels, windows, windows]
  mean_x, mean_y = mean(x), mean(y)
  variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
  covariance = mean(x * y) - mean_x * mean_y
  luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
  structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
  return luminance * structure


def _windows(size: int) -> np.ndarray:
  """The matrix [size - 10, size] whose rows are the windows along one axis."""
  at = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
  taps = np.exp(-(at**2) / (2 * SSIM_SIGMA**2))
  taps /= taps.sum()
  matrix = np.zeros((size - SSIM_WINDOW + 1, size))
  for row in range(len(matrix)):
    matrix[row, row : row + SSIM_WINDOW] = taps
  return matrix
