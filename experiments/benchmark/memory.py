"""Computes the memory of the training step, and the largest batch that fits."""

import functools
import os
from typing import Any

import jax
import numpy as np

from experiments.benchmark.programs import (
  Shape,
  first_device,
  model_of,
  peak_memory,
  training_program,
)
from ocrgan_jax.model.state import create_state


def step_memory(shape: Shape, dtype: str) -> int:
  """The bytes that the training step of one shape needs, according to the compiler."""
  mesh, model = first_device(), model_of(shape, dtype)
  state = jax.eval_shape(functools.partial(create_state, model), 0)
  batch = jax.ShapeDtypeStruct((shape.batch, shape.size, shape.size, 3), np.uint8)
  return peak_memory(training_program(model, mesh).lower(state, batch).compile())


def memory_shares(shape: Shape, dtype: str) -> tuple[float, float]:
  """Splits the memory of the training step into bytes per image and fixed bytes.

  Both are computed from two batch sizes, large enough that the memory for the parameters'
  gradients does not hide that for the images.

  Args:
    shape: shape of the model; its batch is ignored.
    dtype: type of the computation.

  Returns:
    Bytes per image, and fixed bytes.
  """
  small, large = (step_memory(shape._replace(batch=batch), dtype) for batch in (16, 32))
  per_image = (large - small) / 16
  return per_image, small - 16 * per_image


def benchmark_memory(shape: Shape, dtype: str) -> dict[str, Any]:
  """Computes the largest batch of a shape that fits in the device's memory.

  Args:
    shape: shape of the model; its batch is ignored.
    dtype: type of the computation.

  Returns:
    The row of the table.
  """
  per_image, fixed = memory_shares(shape, dtype)
  limit = (jax.devices()[0].memory_stats() or {}).get('bytes_limit')
  total = limit or os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  largest = int((total - fixed) / per_image)
  print(
    f'train {shape.size}, width {shape.width}, {dtype}: {per_image / 2**20:.0f} MiB an image, '
    f'{fixed / 2**30:.2f} GiB besides; the largest batch in {total / 2**30:.0f} GiB is {largest}'
  )
  return {'name': 'memory', 'mib_an_image': per_image / 2**20, 'largest_batch': largest}
