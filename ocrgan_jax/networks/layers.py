"""Layers that the generator and the discriminator share.

Convolution weights start as N(0, 0.02); batch normalisation starts with γ ~ N(1, 0.02) and
β = 0. Images are [batch, height, width, channels].
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from ocrgan_jax.core.platforms import on_accelerator
from ocrgan_jax.networks.convolutions import pixel_conv, strided_conv, transposed_conv

WEIGHTS = nn.initializers.normal(0.02)

leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.2)


def _with_bias(layer: nn.Module, out: jax.Array) -> jax.Array:
  bias = layer.param('bias', nn.initializers.zeros_init(), out.shape[-1:], jnp.float32)
  return out + bias.astype(out.dtype)


class DownConv(nn.Module):
  """4×4 convolution of stride 2 and padding 1, without bias: halves the resolution.

  Attributes:
    features: number of output channels.
    dtype: dtype of the computation; parameters are float32.
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
    dtype: dtype of the computation; parameters are float32.
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
    return _with_bias(self, out) if self.use_bias else out


class PixelConv(nn.Module):
  """Convolution to a single output pixel, without bias, as a matrix product.

  Attributes:
    size: side of the kernel; a smaller input uses only the kernel's middle.
    features: number of output channels.
    dtype: dtype of the computation; parameters are float32.
  """

  size: int
  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[batch, h, h, c] → [batch, 1, 1, features]; h is at most `size` and has the same parity."""
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param('kernel', WEIGHTS, shape, jnp.float32)
    return pixel_conv(x, kernel.astype(self.dtype))


class BatchNorm(nn.Module):
  """Batch normalisation with torch's running statistics.

  The one difference from `nn.BatchNorm`: the running variance is unbiased, n / (n - 1) times
  the batch's, as in the network of the paper's measurements. At the generator's 2×2 stages and
  with small batches, n is small enough for this to matter. Statistics are float32; under jit
  with a sharded batch they cover the whole global batch.

  Attributes:
    momentum: share of the old running statistics kept at each step.
    epsilon: added to the variance.
    dtype: dtype of the result.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Normalises features per channel.

    Args:
      x: [batch, h, w, c].
      train: use batch statistics, and update the running ones.

    Returns:
      Array shaped like `x`.
    """
    channels = x.shape[-1]
    scale = self.param('scale', _around_one, (channels,))
    bias = self.param('bias', nn.initializers.zeros_init(), (channels,), jnp.float32)
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,), jnp.float32)
    running_var = self.variable('batch_stats', 'var', jnp.ones, (channels,), jnp.float32)
    if not train:
      mean, var = running_mean.value, running_var.value
      return _normalise(x, scale, bias, mean, var, self.epsilon).astype(self.dtype)
    if on_accelerator():
      out, mean, var = _in_one_pass(x, scale, bias, running_mean.value, self.epsilon)
    else:
      mean, var = x.astype(jnp.float32).mean((0, 1, 2)), x.astype(jnp.float32).var((0, 1, 2))
      out = _normalise(x, scale, bias, mean, var, self.epsilon)
    count = x.size // channels
    keep = self.momentum
    running_mean.value = keep * running_mean.value + (1 - keep) * mean
    unbiased = var * (count / max(count - 1, 1))
    running_var.value = keep * running_var.value + (1 - keep) * unbiased
    return out.astype(self.dtype)


def _normalise(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  mean: jax.Array,
  var: jax.Array,
  epsilon: float,
) -> jax.Array:
  gain = scale * lax.rsqrt(var + epsilon)
  return x.astype(jnp.float32) * gain + (bias - mean * gain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _in_one_pass(
  x: jax.Array, scale: jax.Array, bias: jax.Array, near: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Normalises by the batch's statistics, read once; accelerators are bound by memory here.

  Args:
    x: [batch, h, w, c].
    scale: γ, [c].
    bias: β, [c].
    near: values near the means, [c]; they keep the variance's digits.
    epsilon: added to the variance.

  Returns:
    float32 array shaped like `x`, the means and the variances, [c]. No gradient flows from the
    last two.
  """
  away = x.astype(jnp.float32) - near
  shift, square = away.mean((0, 1, 2)), (away * away).mean((0, 1, 2))
  mean, var = near + shift, jnp.maximum(square - shift * shift, 0)
  return _normalise(x, scale, bias, mean, var, epsilon), mean, var


def _one_pass_forward(
  x: jax.Array, scale: jax.Array, bias: jax.Array, near: jax.Array, epsilon: float
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]:
  out, mean, var = _in_one_pass(x, scale, bias, near, epsilon)
  return (out, mean, var), (x, scale, mean, lax.rsqrt(var + epsilon))


def _one_pass_backward(
  epsilon: float, saved: tuple[jax.Array, ...], gradients: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  x, scale, mean, inverse = saved
  gradient = gradients[0]
  standard = (x.astype(jnp.float32) - mean) * inverse
  count = x.size // x.shape[-1]
  for_bias, for_scale = gradient.sum((0, 1, 2)), (gradient * standard).sum((0, 1, 2))
  for_x = scale * inverse * (gradient - (for_bias + standard * for_scale) / count)
  return for_x.astype(x.dtype), for_scale, for_bias, jnp.zeros_like(mean)


_in_one_pass.defvjp(_one_pass_forward, _one_pass_backward)


def _around_one(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  return 1 + 0.02 * jax.random.normal(key, shape, jnp.float32)
