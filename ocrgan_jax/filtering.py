"""Linear filters of images as products with matrices."""

import jax
import jax.numpy as jnp
import numpy as np


def filter_planes(planes: jax.Array, matrix: np.ndarray) -> jax.Array:
  """Filters both axes: [batch, planes, n, n], [m, n] → [batch, planes, m, m]."""
  # Two products with whole rows; the second works on what the first gave, transposed.
  transposed = jnp.asarray(matrix.T, jnp.float32)
  once = (planes @ transposed).swapaxes(2, 3)
  return (once @ transposed).swapaxes(2, 3)
