"""How alike two images are in structure: SSIM, and the similarity of gradients (MSGMS).

Both take float images [batch, size, size, channels] in [-1, 1].
"""

import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.networks.filtering import filter_planes, repeat_border

SSIM_WINDOW = 11  # pixels a side, a Gaussian of 1.5 (Wang et al. 2004)
SSIM_SIGMA = 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for images in [0, 1]
GRADIENT_C = 0.0026  # of gradient similarity, for images in [0, 1] (Xue et al. 2014)
GRADIENT_SCALES = 2  # each half the resolution of the one before


def ssim(first: jax.Array, second: jax.Array) -> jax.Array:
  """The structural similarity of each window that lies within the images, mapped to [0, 1].

  Args:
    first: float [batch, size, size, channels], size at least 11.
    second: shaped alike.

  Returns:
    float32 [batch, channels, size - 10, size - 10], 1 where they are equal.
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


def gradient_difference(first: jax.Array, second: jax.Array) -> jax.Array:
  """One minus the similarity of gradient magnitudes, the mean over scales and channels.

  Gradients are Prewitt's, divided by 3, on images in [0, 1].

  Args:
    first: float [batch, size, size, channels] in [-1, 1].
    second: shaped alike.

  Returns:
    float32 [batch, size, size], 0 where they are equal.
  """
  batch, size = first.shape[:2]
  x, y = ((image + 1) / 2 for image in (first, second))
  total = jnp.zeros((batch, size, size))
  for scale in range(GRADIENT_SCALES):
    if scale:
      x, y = _halved(x), _halved(y)
    gx, gy = _gradient_magnitude(x), _gradient_magnitude(y)
    similarity = (2 * gx * gy + GRADIENT_C) / (gx**2 + gy**2 + GRADIENT_C)
    total += jax.image.resize((1 - similarity).mean(-1), (batch, size, size), 'bilinear')
  return total / GRADIENT_SCALES


def _windows(size: int) -> np.ndarray:
  """The matrix [size - 10, size] whose rows are the windows of one axis."""
  at = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
  taps = np.exp(-(at**2) / (2 * SSIM_SIGMA**2))
  taps /= taps.sum()
  matrix = np.zeros((size - SSIM_WINDOW + 1, size))
  for row in range(len(matrix)):
    matrix[row, row : row + SSIM_WINDOW] = taps
  return matrix


def _halved(x: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def _gradient_magnitude(x: jax.Array) -> jax.Array:
  """Prewitt's, [batch, h, w, c] → the same; borders repeat the edge pixel."""
  height, width = x.shape[1:3]
  padded = repeat_border(x, (1, 2))
  rows = lambda i: padded[:, i : i + height]
  columns = lambda planes, i: planes[:, :, i : i + width]
  down = rows(2) - rows(0)
  across = sum(columns(rows(i), 2) - columns(rows(i), 0) for i in range(3)) / 3
  down = sum(columns(down, i) for i in range(3)) / 3
  # The least number under the root keeps its gradient finite where an image is flat.
  return jnp.sqrt(jnp.square(down) + jnp.square(across) + 1e-12)
