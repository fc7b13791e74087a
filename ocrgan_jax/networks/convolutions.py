"""The convolutions of the networks as functions, with their gradients.

XLA is slow with only the three channels of an image, so blocks of 2×2 pixels turn them into
twelve. XLA for CPUs is also slow with few pixels and many channels (matrix products are fast),
and above all with transposed convolutions. So these are computed in equivalent forms (measured
in docs/performance.md).

The two convolutions of stride 2 are each other's transpose, so each is the other's gradient
with respect to the input.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ocrgan_jax.core.platforms import by_platform, cpu_barrier

FEW_CHANNELS = 3  # of the image, on every platform
# A CPU switches to an equivalent form up to these sizes:
FEW_OUTPUTS = 4  # output side: strided convolutions as matrix products of patches
FEW_INPUTS = 8  # input side: likewise for transposed convolutions


@jax.custom_vjp
def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution of stride 2 and padding 1: [b, 2h, 2w, c], [4, 4, c, f] → [b, h, w, f]."""
  return by_platform(x, kernel, cpu=_strided_on_cpu, default=_strided)


@jax.custom_vjp
def transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed convolution of stride 2 and padding 1.

  Args:
    x: [b, h, w, c].
    kernel: [4, 4, c, f]; kernel row k connects input row i to output row 2i - 1 + k, as in
      torch.

  Returns:
    [b, 2h, 2w, f].
  """
  return by_platform(x, kernel, cpu=_transposed_on_cpu, default=_transposed)


def _strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  if x.shape[-1] <= FEW_CHANNELS:
    return _strided_over_blocks(x, kernel)
  return _conv(x, kernel, 2)


def _strided_over_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  blocks = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  blocks = blocks.reshape(batch, height // 2 + 1, 2, width // 2 + 1, 2, channels)
  blocks = blocks.swapaxes(2, 3).reshape(batch, height // 2 + 1, width // 2 + 1, 4 * channels)
  taps = kernel.reshape(2, 2, 2, 2, channels, features).swapaxes(1, 2)
  return _conv(blocks, taps.reshape(2, 2, 4 * channels, features), 1, padding=0)


def _transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
  if kernel.shape[-1] <= FEW_CHANNELS:
    return _transposed_over_blocks(x, kernel)
  # As a correlation with the dilated input; that flips torch's kernel.
  return lax.conv_general_dilated(
    x,
    kernel[::-1, ::-1],
    (1, 1),
    ((2, 2), (2, 2)),
    lhs_dilation=(2, 2),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _conv(x: jax.Array, kernel: jax.Array, stride: int, padding: int = 1) -> jax.Array:
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    ((padding, padding), (padding, padding)),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _strided_on_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  if height == width == 2:  # only the kernel's middle overlaps the image
    product = x.reshape(batch, -1) @ kernel[1:3, 1:3].reshape(-1, features)
  elif height <= 2 * FEW_OUTPUTS:
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    at = [x[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)]
    product = jnp.concatenate(at, axis=-1) @ kernel.reshape(-1, features)
  elif channels <= FEW_CHANNELS:
    return _strided_over_blocks(x, kernel)
  else:
    return _conv(x, kernel, 2)
  return product.reshape(batch, height // 2, width // 2, features)


def _transposed_on_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  if height == width == 1:  # only the kernel's middle falls inside the output
    middle = kernel[1:3, 1:3].transpose(2, 0, 1, 3).reshape(channels, -1)
    return (x.reshape(batch, channels) @ middle).reshape(batch, 2, 2, features)
  if height <= FEW_INPUTS:
    # Each input pixel makes a 4×4 patch; row 2i + p of the padded output is row p of
    # patch i and row 2 + p of patch i - 1.
    patches = x.reshape(-1, channels) @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    patches = patches.reshape(batch, height, width, 2, 2, 2, 2, features)
    shifts = [(i, j) for i in (0, 1) for j in (0, 1)]
    none = (0, 0)
    padded = sum(
      jnp.pad(patches[:, :, :, i, :, j], (none, (i, 1 - i), (j, 1 - j), none, none, none))
      for i, j in shifts
    )
    padded = padded.transpose(0, 1, 3, 2, 4, 5)  # type: ignore[union-attr]
    padded = padded.reshape(batch, 2 * height + 2, 2 * width + 2, features)
    return padded[:, 1:-1, 1:-1]
  return _transposed_over_blocks(x, kernel)


def _transposed_over_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  # Output row 2i + p uses only two of the four kernel rows. So this is a 2×2 convolution of
  # stride 1 to 4·f channels, one group per parity of row and column, followed by interleaving.
  # Even outputs multiply kernel rows 3 and 1 with x[i-1] and x[i]; odd outputs rows 2 and 0
  # with x[i] and x[i+1]: [2 taps, 2 parities] per axis.
  order = np.array([[3, 2], [1, 0]])
  taps = kernel[order][:, :, order]  # [tap, parity, tap, parity, c, f]
  taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, channels, 4 * features)
  y = _conv(x, taps, 1).reshape(batch, height + 1, width + 1, 2, 2, features)
  rows = [
    jnp.stack([y[:, p : p + height, q : q + width, p, q] for q in (0, 1)], axis=3) for p in (0, 1)
  ]
  return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, features)


def _strided_kernel_gradient(x: jax.Array, out: jax.Array) -> jax.Array:
  """The gradient of <out, strided_conv(x, kernel)> with respect to the kernel."""
  return by_platform(
    x,
    out,
    cpu=_strided_kernel_gradient_on_cpu,
    default=lambda x, out: _kernel_gradient(_strided, x, out, 4),
  )


def _strided_kernel_gradient_on_cpu(x: jax.Array, out: jax.Array) -> jax.Array:
  if x.shape[1] == x.shape[2] == 2:  # only the kernel's middle overlaps the image
    middle = jnp.einsum('bijc,bf->ijcf', x, out[:, 0, 0])
    return jnp.pad(middle, ((1, 1), (1, 1), (0, 0), (0, 0)))
  return _kernel_gradient(lambda x, kernel: _conv(x, kernel, 2), x, out, 4)


def _kernel_gradient(
  convolution: Callable[..., jax.Array], x: jax.Array, out: jax.Array, side: int
) -> jax.Array:
  shape = jax.ShapeDtypeStruct((side, side, x.shape[-1], out.shape[-1]), x.dtype)
  return jax.linear_transpose(lambda kernel: convolution(x, kernel), shape)(out)[0]


# The kernel's gradient transposes both operands. Without barriers XLA for CPUs fuses the
# transposition with the computation of the operands (e.g. batch normalisation's gradient) and
# repeats it in transposed order, which is hard on the caches.
def _strided_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  x, gradient = map(cpu_barrier, (x, gradient))
  kernel_gradient = _strided_kernel_gradient(x, gradient)
  return transposed_conv(gradient, kernel.swapaxes(2, 3)), kernel_gradient


def _transposed_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  x, gradient = map(cpu_barrier, (x, gradient))
  kernel_gradient = _strided_kernel_gradient(gradient, x).swapaxes(2, 3)
  return strided_conv(gradient, kernel.swapaxes(2, 3)), kernel_gradient


def _save(convolution: Callable[..., jax.Array]) -> Callable[..., Any]:
  return lambda x, kernel: (convolution(x, kernel), (x, kernel))


strided_conv.defvjp(_save(strided_conv), _strided_backward)
transposed_conv.defvjp(_save(transposed_conv), _transposed_backward)
