"""The losses of the first training steps, on the device and on the CPU."""

import contextlib
import dataclasses

import jax

from experiments.benchmark.programs import Shape, lower, model_of, new_arrays, random_batch
from experiments.rows import Row
from ocrgan_jax.core import sharding

Losses = dict[str, list[float]]  # by name, of each step
# The release's. At the paper's, ten times that, D's loss swings from step to step and any
# rounding grows with it.
LEARNING_RATE = 2e-4


def benchmark_losses(shape: Shape, steps: int) -> list[Row]:
  """Compares the losses of so many steps on the device with those on the CPU.

  Returns:
    A row each for bfloat16 on the CPU, bfloat16, float32 and float32 in full precision: the
    largest difference from the other losses that it names, as a share of these.
  """
  cpu, device = jax.devices('cpu')[0], jax.devices()[0]
  exact = training_losses(cpu, shape, 'float32', steps)
  short = training_losses(cpu, shape, 'bfloat16', steps)
  of = lambda dtype, precision=None: training_losses(device, shape, dtype, steps, precision)
  pairs = {
    'bfloat16 on the CPU': (short, exact, 'float32 on the CPU'),
    'bfloat16': (of('bfloat16'), short, 'bfloat16 on the CPU'),
    'float32': (of('float32'), exact, 'float32 on the CPU'),
    'float32 in full precision': (of('float32', 'float32'), exact, 'float32 on the CPU'),
  }
  found = []
  for name, (losses, others, reference) in pairs.items():
    differences = {
      kind: [abs(x - y) / max(abs(y), 1e-12) for x, y in zip(values, others[kind], strict=True)]
      for kind, values in losses.items()
    }
    found.append(
      {
        'name': f'losses, {name}',
        'value': max(max(of_one) for of_one in differences.values()),
        'unit': f'largest relative difference from {reference}',
        'at_first_step': max(of_one[0] for of_one in differences.values()),
        'by_loss': {name: max(of_one) for name, of_one in differences.items()},
        'losses': losses,
      }
    )
  return found


def training_losses(
  device: jax.Device, shape: Shape, dtype: str, steps: int, precision: str | None = None
) -> Losses:
  """Trains from seed 0 on random images, the same on every device.

  `precision` is that of products of float32, as in `jax.default_matmul_precision`; None for the
  device's own.
  """
  model, mesh = model_of(shape, dtype), sharding.make_mesh([device])
  slower = dataclasses.replace(model.optimizer, learning_rate=LEARNING_RATE)
  model = dataclasses.replace(model, optimizer=slower)
  chosen = jax.default_matmul_precision(precision) if precision else contextlib.nullcontext()
  with chosen:
    compiled = lower('train', model, mesh, shape.batch).compile()
  # Drawn on one device for all of them, so that they begin with the same state to the last bit.
  state = sharding.in_layout(compiled, jax.device_get(new_arrays('train', model)))
  found: Losses = {}
  for step in range(steps):
    state, losses = compiled(state, random_batch(shape, mesh, step))
    for name, value in losses.items():
      found.setdefault(name, []).append(float(value))
  return found
