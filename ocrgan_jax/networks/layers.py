"""The layers that the generator and the discriminator share.

Convolutions are 4×4 with N(0, 0.02) weights; batch normalisation starts with
γ ~ N(1, 0.02), β = 0. Images are [batch, height, width, channels].
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

WEIGHTS = nn.initializers.normal(0.02)

leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.2)


class DownConv(nn.Module):
  """4×4 convolution of stride 2 and padding 1, without bias: halves the resolution.

  Attributes:
    features: number of output channels.
    dtype: type of the computation; parameters are float32.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[batch, 2h, 2w, c] → [batch, h, w, features]."""
    kernel = self.param('kernel', WEIGHTS, (4, 4, x.shape[-1], self.features), jnp.float32)
    return strided_conv(x.astype(self.dtype), kernel.astype(self.dtype))


class UpConv(nn.Module):
  """Transposed 4×4 convolution of stride 2 and padding 1: doubles the resolution.

  Attributes:
    features: number of output channels.
    use_bias: whether a bias is added.
    dtype: type of the computation; parameters are float32.
  """

  features: int
  use_bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[batch, h, w, c] → [batch, 2h, 2w, features]."""
    shape = (4, 4, x.shape[-1], self.features)
    kernel = self.param('kernel', WEIGHTS, shape, jnp.float32)
    out = transposed_conv(x.astype(self.dtype), kernel.astype(self.dtype))
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros_init(), (self.features,), jnp.float32)
      out = out + bias.astype(self.dtype)
    return out


class PixelConv(nn.Module):
  """Convolution with a single output pixel, without bias: a product of matrices.

  Attributes:
    size: side of the kernel; of a smaller input only the kernel's middle meets data.
    features: number of output channels.
    dtype: type of the computation; parameters are float32.
  """

  size: int
  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[batch, h, h, c], h up to `size` and as odd or even → [batch, features]."""
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param('kernel', WEIGHTS, shape, jnp.float32).astype(self.dtype)
    start = (self.size - x.shape[1]) // 2
    middle = kernel[start : self.size - start, start : self.size - start]
    return x.reshape(x.shape[0], -1) @ middle.reshape(-1, self.features)


# The two convolutions are each other's transpose, so each is the gradient of the
# other with respect to its input. Saying so here is what makes them fast: on a CPU
# XLA's own transposed convolution takes many times as long. Where few pixels meet many
# channels, its convolutions are slow altogether, and products of matrices are not; where
# there are only the three channels of an image, blocks of 2×2 pixels make them twelve.
FEW_OUTPUTS = 4  # side up to which a strided convolution is a product of patches
FEW_INPUTS = 8  # and a transposed one
FEW_CHANNELS = 3  # up to which a strided convolution is one of blocks


@jax.custom_vjp
def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution of stride 2 and padding 1: [b, 2h, 2w, c], [4, 4, c, f] → [b, h, w, f]."""
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  if height == width == 2:  # only the middle of the kernel meets pixels
    product = x.reshape(batch, -1) @ kernel[1:3, 1:3].reshape(-1, features)
  elif height <= 2 * FEW_OUTPUTS:
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    at = [x[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)]
    product = jnp.concatenate(at, axis=-1) @ kernel.reshape(-1, features)
  elif channels <= FEW_CHANNELS:
    blocks = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = blocks.reshape(batch, height // 2 + 1, 2, width // 2 + 1, 2, channels)
    blocks = blocks.swapaxes(2, 3).reshape(batch, height // 2 + 1, width // 2 + 1, 4 * channels)
    taps = kernel.reshape(2, 2, 2, 2, channels, features).swapaxes(1, 2)
    return _conv(blocks, taps.reshape(2, 2, 4 * channels, features), 1, padding=0)
  else:
    return _conv(x, kernel, 2)
  return product.reshape(batch, height // 2, width // 2, features)


@jax.custom_vjp
def transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed convolution of stride 2 and padding 1.

  Output row 2i + p sees only two of the four kernel rows, so this is a 2×2
  convolution of stride 1 to 4·f channels, one group for each parity of row and
  column, and an interleaving of the four.

  Args:
    x: [batch, h, w, c].
    kernel: [4, 4, c, f]; input row i meets output row 2i - 1 + k with kernel row
      k, as in torch.

  Returns:
    [batch, 2h, 2w, f].
  """
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  if height == width == 1:  # only the middle of the kernel stays within the output
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
  # Rows 3 and 1 of the kernel meet x[i-1] and x[i] for even outputs, rows 2 and
  # 0 meet x[i] and x[i+1] for odd ones: [2 taps, 2 parities] per axis.
  order = np.array([[3, 2], [1, 0]])
  taps = kernel[order][:, :, order]  # [tap, parity, tap, parity, c, f]
  taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, channels, 4 * features)
  y = _conv(x, taps, 1).reshape(batch, height + 1, width + 1, 2, 2, features)
  rows = [
    jnp.stack([y[:, p : p + height, q : q + width, p, q] for q in (0, 1)], axis=3) for p in (0, 1)
  ]
  return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, features)


def _conv(x: jax.Array, kernel: jax.Array, stride: int, padding: int = 1) -> jax.Array:
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    ((padding, padding), (padding, padding)),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _kernel_gradient(large: jax.Array, small: jax.Array) -> jax.Array:
  """<small, strided_conv(large, kernel)>, differentiated by the kernel."""
  if large.shape[1] == large.shape[2] == 2:
    middle = jnp.einsum('bijc,bf->ijcf', large, small[:, 0, 0])
    return jnp.pad(middle, ((1, 1), (1, 1), (0, 0), (0, 0)))
  shape = jax.ShapeDtypeStruct((4, 4, large.shape[-1], small.shape[-1]), large.dtype)
  return jax.linear_transpose(lambda kernel: _conv(large, kernel, 2), shape)(small)[0]


def _save(convolution: Callable[..., jax.Array]) -> Callable[..., tuple[jax.Array, tuple]]:
  return lambda x, kernel: (convolution(x, kernel), (x, kernel))


# The gradient by the kernel transposes both of its operands. Without barriers XLA for CPUs
# computes what made them (batch normalisation's gradient …) once more, in the order of
# the transposition, which the caches cannot follow (measured in docs/performance.md).
def _strided_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  x, gradient = map(lax.optimization_barrier, (x, gradient))
  return transposed_conv(gradient, kernel.swapaxes(2, 3)), _kernel_gradient(x, gradient)


def _transposed_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  x, gradient = map(lax.optimization_barrier, (x, gradient))
  kernel_gradient = _kernel_gradient(gradient, x).swapaxes(2, 3)
  return strided_conv(gradient, kernel.swapaxes(2, 3)), kernel_gradient


strided_conv.defvjp(_save(strided_conv), _strided_backward)
transposed_conv.defvjp(_save(transposed_conv), _transposed_backward)


class BatchNorm(nn.Module):
  """Batch normalisation with torch's running statistics.

  It differs from `nn.BatchNorm` in one thing: the running variance is the
  unbiased one, n / (n - 1) times the batch's, as in the network that the paper
  was measured with. At the generator's 2×2 stages and small batches n is small
  enough for that to matter. Statistics are float32 and, under jit with a sharded
  batch, those of the whole global batch.

  Attributes:
    momentum: share of the old running statistics kept at each step.
    epsilon: added to the variance.
    dtype: type of the result.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Normalises [batch, h, w, c] per channel.

    Args:
      x: the features.
      train: use (and update) the batch's statistics instead of the running ones.

    Returns:
      Array shaped as `x`.
    """
    channels = x.shape[-1]
    scale = self.param('scale', _around_one, (channels,))
    bias = self.param('bias', nn.initializers.zeros_init(), (channels,), jnp.float32)
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,), jnp.float32)
    running_var = self.variable('batch_stats', 'var', jnp.ones, (channels,), jnp.float32)
    x = x.astype(jnp.float32)
    if train:
      mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
      count = x.size // channels
      keep = self.momentum
      running_mean.value = keep * running_mean.value + (1 - keep) * mean
      unbiased = var * (count / max(count - 1, 1))
      running_var.value = keep * running_var.value + (1 - keep) * unbiased
    else:
      mean, var = running_mean.value, running_var.value
    gain = scale * lax.rsqrt(var + self.epsilon)
    return (x * gain + (bias - mean * gain)).astype(self.dtype)


def _around_one(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  return 1 + 0.02 * jax.random.normal(key, shape, jnp.float32)
