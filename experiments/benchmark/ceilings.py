"""What the device can do at most, apart from products of matrices: memory and convolutions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.benchmark.timing import time_calls


def benchmark_copy(gib: float) -> dict[str, Any]:
  """GB/s of a copy within the device's memory, bytes read and written.

  Args:
    gib: size of the array.

  Returns:
    The row.
  """
  array = jax.random.normal(jax.random.key(0), (int(gib * 2**28),))
  negate = jax.jit(jnp.negative)
  rate = 2 * array.nbytes / float(np.median(time_calls(lambda: negate(array)))) / 1e9
  print(f'{f"copy of {gib:g} GiB within the device":50} {rate:10.1f} GB/s')
  return {'name': 'copy', 'gb_per_second': rate}


def benchmark_convolution(dtype: str, side: int, channels: int, batch: int) -> dict[str, Any]:
  """TFLOP/s of one convolution as the networks have them, 4×4 of stride 2, by XLA alone.

  Args:
    dtype: of the computation.
    side: of the input.
    channels: of the input; the output has twice as many.
    batch: images.

  Returns:
    The row.
  """
  x = jax.random.normal(jax.random.key(0), (batch, side, side, channels), dtype)
  kernel = jax.random.normal(jax.random.key(1), (4, 4, channels, 2 * channels), dtype)
  numbers = ('NHWC', 'HWIO', 'NHWC')
  convolve = jax.jit(
    lambda x, kernel: lax.conv_general_dilated(
      x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=numbers
    )
  )
  seconds = float(np.median(time_calls(lambda: convolve(x, kernel))))
  rate = 2 * 16 * batch * (side // 2) ** 2 * channels * 2 * channels / seconds / 1e12
  name = f'convolution of {batch}×{side}×{side}×{channels}, {dtype}'
  print(f'{name:50} {rate:10.1f} TFLOP/s')
  return {'name': name, 'tflops': rate}
