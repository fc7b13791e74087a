"""The lines that training prints at its start: device, work to do, time left, warnings."""

import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax.data.images import NormalImages, tile_indices

FEW_STEPS = 300  # with fewer, networks have hardly learned anything in our runs
FEW_PARTS = 20  # with fewer, a quantile of their scores is mostly chance
MEASURED_STEPS = 20  # timed to estimate the time left
LONG_SECONDS = 3600.0  # from here on, suggest something faster on a CPU


def device_name(mesh: Mesh) -> str:
  """Names the devices of a mesh: 'CPU', '4 × NVIDIA H200'."""
  device = mesh.devices.flat[0]
  kind = 'CPU' if device.platform == 'cpu' else device.device_kind
  return f'{mesh.size} × {kind}' if mesh.size > 1 else kind


def print_plan(
  mesh: Mesh, state: Any, normal: NormalImages, *, num_steps: int, batch_size: int, dtype: str
) -> None:
  """Prints what training networks will take, and warns if the result will be weak.

  Args:
    mesh: of the devices.
    state: `model.state.State`.
    normal: the images to train on, and those held out.
    num_steps: length of the run.
    batch_size: images per step.
    dtype: of the networks' computation.
  """
  # Photographs, not tiles, since the threshold is set from scores of photographs.
  held_out, groups = len(tile_indices(normal.held_out)), normal.num_held_out_groups
  images = f'{len(normal.images)} images, {held_out} more held out'
  if groups < held_out:
    images += f' in {groups} group(s)'
  sizes = [
    sum(int(np.prod(x.shape)) for x in jax.tree.leaves(network.params))
    for network in (state.generator, state.discriminator)
  ]
  print(
    f'on {device_name(mesh)} in {dtype}: G has {sizes[0]:,} and D {sizes[1]:,} parameters; '
    f'{num_steps:,} steps with batches of {batch_size} from {images}',
    file=sys.stderr,
  )
  if num_steps < FEW_STEPS:
    print(
      f'warning: only {num_steps} steps, too few for the networks to learn much; raise '
      f'train.epochs, or set train.steps to {FEW_STEPS} or more',
      file=sys.stderr,
    )
  warn_of_few_parts(groups, ', or raise data.validation_share')


def warn_of_few_parts(count: int, more: str = '') -> None:
  """Warns on stderr if few parts set the threshold.

  Args:
    count: number of groups of photographs that set it.
    more: what else helps than more photographs.
  """
  if count < FEW_PARTS:
    print(
      f'warning: only {count} parts set the threshold, so the false-alarm rate may be far off; '
      f'add photographs{more}',
      file=sys.stderr,
    )


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
