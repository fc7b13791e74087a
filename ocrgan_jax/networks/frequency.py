"""Frequency Decoupling (FD): splits an image into a sum of frequency bands, Eq. 1-3.

Has no parameters, and works on float images of any scale.
"""

import itertools

import jax
import jax.numpy as jnp
from jax import lax

from ocrgan_jax.core.platforms import cpu_barrier

# Gau1 = outer(TAPS, TAPS), Eq. 1. The kernel is separable, so each axis is filtered
# separately: 10 products per pixel instead of 25.
TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def frequency_decoupling(images: jax.Array, branches: int) -> list[jax.Array]:
  """Splits images into frequency bands that sum to the images, Eq. 2-3.

  `I_GN` is the image, and each `I_G(n-1)` is `I_Gn` blurred by one level. The lowest band is
  `I_G1`; the others are the differences `I_Gn - I_G(n-1)`. (Eq. 3 is printed with the opposite
  sign, but then the bands would not sum to the image.)

  Args:
    images: float [batch, height, width, channels]; height and width are even and at least 4.
    branches: N, the number of bands, at least 1.

  Returns:
    N arrays with the shape and dtype of `images`, lowest band first. With N = 1 the only band
    is the image itself.

  Raises:
    ValueError: if `branches` is below 1, or a side is odd or below 4.
  """
  if branches < 1:
    raise ValueError(f'branches is {branches}; at least 1 is needed')
  height, width = images.shape[1:3]
  if branches > 1 and (height % 2 or width % 2 or min(height, width) < 4):
    raise ValueError(f'image is {height}x{width}; both sides must be even and at least 4')
  blurred = [images]
  for _ in range(branches - 1):
    blurred.append(low_pass(blurred[-1]))
  blurred.reverse()  # I_G1 … I_GN
  return [blurred[0]] + [high - low for low, high in itertools.pairwise(blurred)]


def low_pass(images: jax.Array) -> jax.Array:
  """One level of blur at full resolution, Eq. 1: OpenCV's pyrDown, then pyrUp.

  Args:
    images: float [batch, height, width, channels], both sides even.

  Returns:
    Array with the shape and dtype of `images`.
  """
  # Rows last: adding whole rows is fastest, and the last stage has full resolution.
  for stage, axis in (_shrink, 1), (_shrink, 2), (_expand, 2), (_expand, 1):
    # Without the barrier XLA for CPUs recomputes each pixel of a stage for every pixel of the
    # next stage that uses it.
    images = cpu_barrier(stage(images, axis))
  return images


def _shrink(x: jax.Array, axis: int) -> jax.Array:
  """Filters one axis with TAPS, mirrored at the ends, and keeps positions 0, 2, 4, …."""
  pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
  even, odd = (lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in (0, 1))
  # Mirroring puts x[2], x[1] before x[0] and x[-2] after x[-1].
  before, after = _shift_up(even, axis, first=1), _shift_down(even, axis)
  odd_before = _shift_up(odd, axis, first=0)
  return TAPS[0] * (before + after) + TAPS[1] * (odd_before + odd) + TAPS[2] * even


def _expand(x: jax.Array, axis: int) -> jax.Array:
  """Inserts zeros between the positions of one axis and filters it with 2·TAPS.

  Computes even and odd positions separately, to skip products with zero. Mirroring the
  zero-stuffed signal about its first element (a value) puts x[1] before x[0]; about its last
  (a zero) it puts x[-1] after x[-1].
  """
  before, after = _shift_up(x, axis, first=1), _shift_down(x, axis)
  even = 2 * TAPS[0] * (before + after) + 2 * TAPS[2] * x
  odd = 2 * TAPS[1] * (x + after)
  pairs = jnp.stack([even, odd], axis=axis + 1)
  return pairs.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])


def _shift_up(x: jax.Array, axis: int, first: int) -> jax.Array:
  """x[i - 1] at position i, and x[first] at position 0."""
  size = x.shape[axis]
  edge = lax.slice_in_dim(x, first, first + 1, axis=axis)
  return jnp.concatenate([edge, lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis=axis)


def _shift_down(x: jax.Array, axis: int) -> jax.Array:
  """x[i + 1] at position i, and the last element repeated at the end."""
  size = x.shape[axis]
  edge = lax.slice_in_dim(x, size - 1, size, axis=axis)
  return jnp.concatenate([lax.slice_in_dim(x, 1, size, axis=axis), edge], axis=axis)
