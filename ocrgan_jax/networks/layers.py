"""The layers that the generator and the discriminator share.

Convolutions are 4×4 with N(0, 0.02) weights; batch normalisation starts with
γ ~ N(1, 0.02), β = 0. Images are [batch, height, width, channels].
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

WEIGHTS = nn.initializers.normal(0.02)

leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.2)

# Halves the resolution.
DownConv = functools.partial(
    nn.Conv,
    kernel_size=(4, 4),
    strides=(2, 2),
    padding=((1, 1), (1, 1)),
    use_bias=False,
    kernel_init=WEIGHTS,
)


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


@jax.custom_vjp
def transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed convolution of stride 2 and padding 1, fast in both directions.

  Output row 2i + p sees only two of the four kernel rows, so this is a 2×2
  convolution of stride 1 to 4·C channels, one group for each parity of row and
  column, and an interleaving of the four. Its gradients are written as what they
  are, plain strided convolutions. On a CPU that is many times faster than XLA's
  transposed convolution and its gradients, and the arithmetic is the same.

  Args:
    x: [batch, h, w, c].
    kernel: [4, 4, c, features], in torch's orientation: input row i meets output
      row 2i - 1 + k with kernel row k.

  Returns:
    [batch, 2h, 2w, features].
  """
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  # Rows 3 and 1 of the kernel meet x[i-1] and x[i] for even outputs, rows 2 and
  # 0 meet x[i] and x[i+1] for odd ones: [2 taps, 2 parities] per axis.
  order = np.array([[3, 2], [1, 0]])
  taps = kernel[order][:, :, order]  # [tap, parity, tap, parity, c, features]
  taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, channels, 4 * features)
  y = lax.conv_general_dilated(
      x, taps, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  y = y.reshape(batch, height + 1, width + 1, 2, 2, features)
  rows = [
      jnp.stack([y[:, p : p + height, q : q + width, p, q] for q in (0, 1)], axis=3)
      for p in (0, 1)
  ]
  return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, features)


def _adjoint(y: jax.Array, kernel: jax.Array) -> jax.Array:
  """The strided convolution that `transposed_conv` is the transpose of."""
  return lax.conv_general_dilated(
      y, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWOI', 'NHWC')
  )


def _transposed_conv_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple]:
  return transposed_conv(x, kernel), (x, kernel)


def _transposed_conv_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  # <x, adjoint(gradient, kernel)> is linear in each, so both gradients are its own.
  x_gradient, pullback = jax.vjp(lambda k: _adjoint(gradient, k), kernel)
  return x_gradient, pullback(x)[0]


transposed_conv.defvjp(_transposed_conv_forward, _transposed_conv_backward)


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
