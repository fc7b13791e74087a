"""The losses of the first training steps on one device, to compare with another's."""

import contextlib
import dataclasses

import jax
import numpy as np

from experiments.benchmark.ahead import compile_training
from experiments.benchmark.programs import Shape, model_of
from ocrgan_jax.core import sharding
from ocrgan_jax.training.run import new_state

Losses = dict[str, list[float]]  # by name, of each step
# The release's. At the paper's, ten times that, D's loss swings from step to step and any
# rounding grows with it.
LEARNING_RATE = 2e-4


def training_losses(
  device: jax.Device, shape: Shape, dtype: str, steps: int, precision: str | None = None
) -> Losses:
  """Trains from seed 0 on random images, the same on every device.

  Args:
    device: that computes.
    shape: of the model and its batch.
    dtype: of the computation.
    steps: of training.
    precision: of products of float32, as in `jax.default_matmul_precision`; None for the
      device's own.

  Returns:
    Each loss, step by step.
  """
  model, mesh = model_of(shape, dtype), sharding.make_mesh([device])
  slower = dataclasses.replace(model.optimizer, learning_rate=LEARNING_RATE)
  model = dataclasses.replace(model, optimizer=slower)
  chosen = jax.default_matmul_precision(precision) if precision else contextlib.nullcontext()
  with chosen:
    compiled, _ = compile_training(model, mesh, shape.batch)
  # All devices begin with the CPU's state, to the last bit.
  on_cpu = sharding.make_mesh(jax.devices('cpu')[:1])
  state = sharding.in_layout(compiled, jax.tree.map(_to_host, new_state(model, on_cpu)(0)))
  found: Losses = {}
  for step in range(steps):
    rng = np.random.default_rng(step)
    images = rng.integers(0, 256, (shape.batch, shape.size, shape.size, 3), dtype=np.uint8)
    state, losses = compiled(state, sharding.put_batch(images, mesh))
    for name, value in losses.items():
      found.setdefault(name, []).append(float(value))
  return found


def relative_differences(losses: Losses, others: Losses) -> dict[str, list[float]]:
  """How far each loss is from another device's, as a share of the latter, step by step."""
  return {
    name: [abs(x - y) / max(abs(y), 1e-12) for x, y in zip(values, others[name], strict=True)]
    for name, values in losses.items()
  }


def _to_host(leaf: jax.Array) -> jax.Array | np.ndarray:
  is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return leaf if is_key else np.asarray(leaf)
