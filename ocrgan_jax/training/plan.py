"""The lines that a run prints at its start: device, work to do, time left, warnings."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

FEW_STEPS = 300  # with fewer, networks have hardly learned anything in our runs
FEW_HELD_OUT = 20  # with fewer, a quantile of their scores is mostly chance
MEASURED_STEPS = 20  # timed to estimate the time left
LONG_SECONDS = 3600.0  # from here on, suggest something faster on a CPU


def describe(
  mesh: Mesh,
  state: Any,
  *,
  num_steps: int,
  batch_size: int,
  num_images: int,
  num_held_out: int,
  num_held_out_groups: int,
  fits_all: bool,
  dtype: str,
) -> str:
  """Describes a run in one line: devices, parameters, steps, images.

  Args:
    mesh: of the devices.
    state: `state.State`.
    num_steps: length of the run; 0 if no network is trained.
    batch_size: images per step.
    num_images: number of training images.
    num_held_out: number of held-out images.
    num_held_out_groups: number of their groups.
    fits_all: whether heads are fitted to all images and each is scored without its own group.
    dtype: of the networks' computation.

  Returns:
    The line.
  """
  device, count = mesh.devices.flat[0], mesh.size
  kind = 'CPU' if device.platform == 'cpu' else device.device_kind
  images = f'{num_images} images, {num_held_out} more held out'
  if num_held_out_groups < num_held_out:
    images += f' in {num_held_out_groups} group(s)'
  on = f'{count} × {kind}' if count > 1 else kind
  if fits_all:
    return f'on {on}: fitting the heads to {num_images + num_held_out} images; none are held out'
  sizes = [
    sum(int(np.prod(x.shape)) for x in jax.tree.leaves(network.params))
    for network in (state.generator, state.discriminator)
  ]
  return (
    f'on {on} in {dtype}: G has {sizes[0]:,} and D {sizes[1]:,} parameters; '
    f'{num_steps:,} steps with batches of {batch_size} from {images}'
  )


def warnings_for(num_steps: int, num_for_threshold: int) -> list[str]:
  """Lists warnings about a run that will give a weak result.

  Args:
    num_steps: length of the run; 0 if no network is trained.
    num_for_threshold: number of groups of images that set the threshold.

  Returns:
    One line per warning.
  """
  found = []
  if 0 < num_steps < FEW_STEPS:
    found.append(
      f'only {num_steps} steps, too few for the networks to learn much; raise train.epochs, or set '
      f'train.steps to {FEW_STEPS} or more'
    )
  if num_for_threshold < FEW_HELD_OUT:
    found.append(
      f'only {num_for_threshold} held-out parts set the threshold, so the false-alarm rate may be '
      'far off; add photographs, or raise data.validation_share'
    )
  return found


def describe_time(seconds: float, mesh: Mesh) -> str:
  """Describes the time left and, if it is long on a CPU, how to shorten it.

  Args:
    seconds: time to the last step.
    mesh: of the devices.

  Returns:
    One line.
  """
  text = f'about {duration(seconds)} to the last step'
  if seconds > LONG_SECONDS and mesh.devices.flat[0].platform == 'cpu':
    text += (
      '; on a CPU, lower model.width, image_size or train.epochs to be faster, or use the recipe '
      '`bands`, which takes a minute'
    )
  return text


def duration(seconds: float) -> str:
  """Formats a time: '40 s', '12 min', '3.4 h'."""
  if seconds < 90:
    return f'{seconds:.0f} s'
  return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
