"""What a run says before it is done: on what it computes, how much there is to do, how long."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

FEW_STEPS = 300  # under which networks have hardly learned anything here
FEW_HELD_OUT = 20  # under which a quantile of their scores is a matter of chance
MEASURED_STEPS = 20  # after which the time to the end is told
LONG_SECONDS = 3600.0


def describe(
  mesh: Mesh, state: Any, *, num_steps: int, batch_size: int, num_images: int, num_held_out: int
) -> str:
  """One line on a run: devices, parameters, steps, images.

  Args:
    mesh: of the devices.
    state: `state.State`.
    num_steps: of the whole run; 0 if nothing is trained.
    batch_size: images a step.
    num_images: that are trained on.
    num_held_out: that are held out.

  Returns:
    The line.
  """
  device, count = mesh.devices.flat[0], mesh.size
  kind = 'CPU' if device.platform == 'cpu' else device.device_kind
  images = f'{num_images} images, {num_held_out} more are held out'
  on = f'{count} × {kind}' if count > 1 else kind
  if not num_steps:
    return f'on {on}: band statistics of {images}'
  sizes = [
    sum(int(np.prod(x.shape)) for x in jax.tree.leaves(network.params))
    for network in (state.generator, state.discriminator)
  ]
  return (
    f'on {on}: G of {sizes[0]:,} and D of {sizes[1]:,} parameters, '
    f'{num_steps:,} steps of {batch_size} of {images}'
  )


def doubts(num_steps: int, num_for_threshold: int) -> list[str]:
  """Warnings, one line each, of what will make a run's result weak.

  Args:
    num_steps: of the whole run; 0 if nothing is trained.
    num_for_threshold: images that set the threshold.

  Returns:
    The lines.
  """
  found = []
  if 0 < num_steps < FEW_STEPS:
    found.append(
      f'only {num_steps} steps, in which networks hardly learn; raise train.epochs or set '
      f'train.steps to {FEW_STEPS} or more'
    )
  if num_for_threshold < FEW_HELD_OUT:
    found.append(
      f'only {num_for_threshold} held-out images set the threshold: false alarms may be far more '
      'or fewer than asked for; give more photographs, or a larger data.validation_share'
    )
  return found


def describe_time(seconds: float, mesh: Mesh) -> str:
  """How long a run still takes, and what would make it shorter if that is long on a CPU.

  Args:
    seconds: to the last step.
    mesh: of the devices.

  Returns:
    One line.
  """
  text = f'about {duration(seconds)} to the last step'
  if seconds > LONG_SECONDS and mesh.devices.flat[0].platform == 'cpu':
    text += (
      ': long for a CPU; a smaller model.width, image_size or train.epochs is faster, the recipe '
      '`restore` takes minutes and `statistics` seconds'
    )
  return text


def duration(seconds: float) -> str:
  """A time as people say it: '40 s', '12 min', '3.4 h'."""
  if seconds < 90:
    return f'{seconds:.0f} s'
  return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
