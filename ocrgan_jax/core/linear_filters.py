"""Linear filters of images and maps as matrix products."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.ndimage import gaussian_filter1d


def filter_planes(planes: jax.Array, matrix: np.ndarray) -> jax.Array:
  """Filters both axes: [batch, count, n, n], [m, n] → [batch, count, m, m]."""
  # Two products along rows; the second one filters the transposed result of the first. Variances
  # are differences of such means, so the accelerators' default precision is not enough.
  transposed = jnp.asarray(matrix.T, jnp.float32)
  product = lambda rows: jnp.matmul(rows, transposed, precision='highest').swapaxes(2, 3)
  return product(product(planes))


def gaussian_matrix(size: int, sigma: float, mode: str = 'reflect') -> np.ndarray:
  """Returns the matrix [size, size] that filters one axis; `mode` extends it, as in SciPy."""
  return gaussian_filter1d(np.eye(size), sigma, axis=0, mode=mode)


def resize_maps(maps: jax.Array, size: int) -> jax.Array:
  """Resizes maps bilinearly: [batch, n, n] → [batch, size, size]."""
  # Equals `jax.image.resize`, which jax2onnx cannot convert for a variable batch size.
  count = maps.shape[1]
  at = (np.arange(size) + 0.5) * count / size - 0.5
  weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))
  matrix = jnp.asarray(weights / weights.sum(1, keepdims=True), jnp.float32)
  return jnp.einsum('ij,bjk,lk->bil', matrix, maps, matrix, precision='highest')


def halved(matrix: np.ndarray) -> np.ndarray:
  """Returns the matrix that filters, then averages pairs of pixels, [size / 2, size]."""
  return (matrix[0::2] + matrix[1::2]) / 2


def repeat_border(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
  """Pads axes by one pixel on either side, repeating the border pixel.

  Equals `jnp.pad` in mode 'edge', which the conversion to ONNX gets wrong.
  """
  for axis in axes:
    size = x.shape[axis]
    ends = [lax.slice_in_dim(x, i, i + 1, axis=axis) for i in (0, size - 1)]
    x = jnp.concatenate([ends[0], x, ends[1]], axis=axis)
  return x
