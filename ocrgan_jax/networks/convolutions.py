"""The convolutions of the networks as functions, with their gradients.

XLA is slow with only the three channels of an image, so blocks of 2×2 pixels turn them into
twelve. XLA for CPUs is also slow with few pixels and many channels (matrix products are fast),
and above all with transposed convolutions. So these are computed in equivalent forms (measured
in docs/performance.md). The conversion to ONNX needs each form of `transposed_conv` written out:
it knows no dilated inputs.
"""

import functools
from collections.abc import Callable

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


def pixel_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution to one pixel, for which a smaller image uses only the kernel's middle.

  Args:
    x: [b, h, h, c].
    kernel: [k, k, c, f]; k is at least h and has the same parity.

  Returns:
    [b, 1, 1, f].
  """
  size = kernel.shape[0]
  start = (size - x.shape[1]) // 2
  middle = kernel[start : size - start, start : size - start]
  product = x.reshape(x.shape[0], -1) @ middle.reshape(-1, kernel.shape[-1])
  return product[:, None, None]


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
  height, width = x.shape[1:3]
  if height == width == 2:
    return pixel_conv(x, kernel)
  if height > 2 * FEW_OUTPUTS:
    return _strided(x, kernel)
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  at = [x[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)]
  return jnp.concatenate(at, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


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


def _kernel_gradient(x: jax.Array, out: jax.Array) -> jax.Array:
  """The gradient of <out, strided_conv(x, kernel)> with respect to the kernel."""
  kernel = jax.ShapeDtypeStruct((4, 4, x.shape[-1], out.shape[-1]), x.dtype)

  def gradient(form: Callable[..., jax.Array], x: jax.Array, out: jax.Array) -> jax.Array:
    return jax.linear_transpose(lambda kernel: form(x, kernel), kernel)(out)[0]

  plain = pixel_conv if x.shape[1] == x.shape[2] == 2 else functools.partial(_conv, stride=2)
  return by_platform(
    x,
    out,
    cpu=functools.partial(gradient, plain),
    default=functools.partial(gradient, _strided),
  )


# The kernel's gradient transposes both operands. Without barriers XLA for CPUs fuses the
# transposition with the computation of the operands (e.g. batch normalisation's gradient) and
# repeats it in transposed order, which is hard on the caches.
def _strided_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  x, gradient = map(cpu_barrier, (x, gradient))
  return transposed_conv(gradient, kernel.swapaxes(2, 3)), _kernel_gradient(x, gradient)


def _transposed_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  x, gradient = map(cpu_barrier, (x, gradient))
  return strided_conv(gradient, kernel.swapaxes(2, 3)), _kernel_gradient(gradient, x).swapaxes(2, 3)


strided_conv.defvjp(lambda *inputs: (strided_conv(*inputs), inputs), _strided_backward)
transposed_conv.defvjp(lambda *inputs: (transposed_conv(*inputs), inputs), _transposed_backward)
