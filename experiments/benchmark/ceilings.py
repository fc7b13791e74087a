"""The most that the device can do: products of matrices, convolutions, copies in memory."""

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmark.timing import median_of
from experiments.rows import Row


def benchmark_products(dtype: str, side: int) -> Row:
  """TFLOP/s of products of large square matrices."""
  # Random numbers, since ones use less power on some accelerators and run faster.
  matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
  multiply = jax.jit(lambda a: a @ a)
  rate = 2 * side**3 / median_of(lambda: multiply(matrix)) / 1e12
  return {'name': f'products of {side}×{side} matrices, {dtype}', 'value': rate, 'unit': 'TFLOP/s'}


def benchmark_copy(gib: float) -> Row:
  """GB/s of a copy within the device's memory, bytes read and written."""
  array = jax.random.normal(jax.random.key(0), (int(gib * 2**28),))
  negate = jax.jit(jnp.negative)
  rate = 2 * array.nbytes / median_of(lambda: negate(array)) / 1e9
  return {'name': f'copy of {gib:g} GiB within the device', 'value': rate, 'unit': 'GB/s'}


def benchmark_convolution(dtype: str, side: int, channels: int, batch: int) -> Row:
  """TFLOP/s of one convolution as the networks have them, by XLA alone.

  It is 4×4 with stride 2, on [batch, side, side, channels], and doubles the channels.
  """
  x = jax.random.normal(jax.random.key(0), (batch, side, side, channels), dtype)
  kernel = jax.random.normal(jax.random.key(1), (4, 4, channels, 2 * channels), dtype)
  numbers = ('NHWC', 'HWIO', 'NHWC')
  convolve = jax.jit(
    lambda x, kernel: lax.conv_general_dilated(
      x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=numbers
    )
  )
  flops = 2 * 16 * batch * (side // 2) ** 2 * channels * 2 * channels
  rate = flops / median_of(lambda: convolve(x, kernel)) / 1e12
  name = f'convolution of {batch}×{side}×{side}×{channels}, {dtype}'
  return {'name': name, 'value': rate, 'unit': 'TFLOP/s'}
