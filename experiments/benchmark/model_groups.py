"""Several models that train side by side."""

from typing import Any

import jax

from experiments.benchmark.programs import Shape, first_device, model_of, random_batch
from experiments.benchmark.timing import report_rate, time_calls
from ocrgan_jax.model_group import ModelGroup
from ocrgan_jax.training_run import new_state


def benchmark_group(shape: Shape, dtype: str, count: int) -> dict[str, Any]:
  """Images/s summed over K models, stepped as training does it on this device.

  Args:
    shape: of each model and its batch.
    dtype: of the computation.
    count: K.

  Returns:
    The row.
  """
  mesh, model = first_device(), model_of(shape, dtype)
  states = [new_state(model, mesh)(seed) for seed in range(count)]
  stacked = jax.default_backend() != 'cpu'
  group = ModelGroup(model, mesh, states, shape.batch, stacked=stacked)
  batches = [random_batch(shape, mesh)] * count
  rates = [count * shape.batch / s for s in time_calls(lambda: group.step(batches))]
  return report_rate(f'train {shape} {dtype}, {count} model(s) together', rates)
