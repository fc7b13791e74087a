"""Frequency Decoupling (FD): an image as a sum of frequency bands, Eq. 1-3.

Everything here has no parameters, and works on float images of any scale.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

# One row of Gau1 = outer(TAPS, TAPS) / 256, Eq. 1. The kernel is separable, so
# each axis is filtered by itself: 10 products a pixel instead of 25.
TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def frequency_decoupling(images: jax.Array, branches: int) -> list[jax.Array]:
  """Splits images into frequency bands that add up to them, Eq. 2-3.

  `I_GN` is the image, each next blurred image is one level applied to the one
  before; the lowest band is `I_G1` and the others are the differences
  `I_Gn - I_G(n-1)`. (Eq. 3 prints the opposite sign, with which the bands would
  not add up to the image.)

  Args:
    images: float array [batch, height, width, channels], height and width even
      and at least 4.
    branches: N, the number of bands, at least 1.

  Returns:
    N arrays shaped and typed as `images`, the lowest band first. With N = 1 the
    one band is the image itself.

  Raises:
    ValueError: if `branches` is under 1, or a side is odd or under 4.
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
    images: float array [batch, height, width, channels], both sides even.

  Returns:
    Array shaped and typed as `images`.
  """
  for axis in (1, 2):
    images = _shrink(images, axis)
  for axis in (1, 2):
    images = _expand(images, axis)
  return images


def _shrink(x: jax.Array, axis: int) -> jax.Array:
  """Filters one axis with TAPS and keeps its positions 0, 2, 4, …."""
  size = x.shape[axis]
  x = _pad(x, axis, (2, 1), (size - 2, size - 3))
  parts = (lax.slice_in_dim(x, i, i + size, stride=2, axis=axis) for i in range(5))
  return sum(tap * part for tap, part in zip(TAPS, parts, strict=True))  # type: ignore[return-value]


def _expand(x: jax.Array, axis: int) -> jax.Array:
  """Puts zeros between the positions of one axis and filters it with 2·TAPS.

  Worked out for even and odd positions apart, so that no zero is multiplied.
  Mirroring the zero-stuffed signal about its first element (a kept position)
  puts x[1] before x[0]; about its last (a zero) puts x[-1] after x[-1].
  """
  size = x.shape[axis]
  x = _pad(x, axis, (1,), (size - 1,))
  before, here, after = (lax.slice_in_dim(x, i, i + size, axis=axis) for i in range(3))
  even = 2 * TAPS[0] * (before + after) + 2 * TAPS[2] * here
  odd = 2 * TAPS[1] * (here + after)
  pairs = jnp.stack([even, odd], axis=axis + 1)
  return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def _pad(x: jax.Array, axis: int, before: Sequence[int], after: Sequence[int]) -> jax.Array:
  """Puts copies of positions of an axis before and after it."""
  at = lambda i: lax.slice_in_dim(x, i, i + 1, axis=axis)
  return jnp.concatenate([*map(at, before), x, *map(at, after)], axis=axis)
