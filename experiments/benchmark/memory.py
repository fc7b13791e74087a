"""Computes the memory of the training step, and the largest batch that fits."""

import os

import jax

from experiments.benchmark.programs import Shape, first_device, lower, model_of, peak_memory
from experiments.rows import Row


def step_memory(shape: Shape, dtype: str) -> int:
  """The bytes that the training step of one shape needs, according to the compiler."""
  program = lower('train', model_of(shape, dtype), first_device(), shape.batch)
  return peak_memory(program.compile())


def benchmark_memory(shape: Shape, dtype: str) -> Row:
  """Computes the largest batch of a model that fits in the device's memory.

  The bytes per image and the fixed ones follow from two batch sizes, large enough that the memory
  for the parameters' gradients does not hide that for the images. The shape's batch is ignored.
  """
  small, large = (step_memory(shape._replace(batch=batch), dtype) for batch in (16, 32))
  per_image = (large - small) / 16
  fixed = small - 16 * per_image
  limit = (jax.devices()[0].memory_stats() or {}).get('bytes_limit')
  total = limit or os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return {
    'name': f'largest batch of {shape.size}, width {shape.width}, {dtype}',
    'value': int((total - fixed) / per_image),
    'unit': 'images',
    'mib_an_image': per_image / 2**20,
    'gib_besides': fixed / 2**30,
    'gib_of_the_device': total / 2**30,
  }
