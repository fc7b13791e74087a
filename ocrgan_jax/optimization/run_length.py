"""The length of a run, its batch size, and when it is validated and saved."""

import dataclasses
import math
import sys

from ocrgan_jax.core.checks import at_least, check
from ocrgan_jax.core.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunLength:
  """The fields of the config's section `train` that control the training loop.

  Attributes:
    epochs: passes over the training images.
    steps: length of the run, which overrides `epochs` unless it is 0. If both are 0, no network
      is trained.
    batch_size: images per step, over all devices.
    checkpoint_every: epochs between checkpoints; each is validated and saved.
    keep_checkpoints: whether to keep every checkpoint.
    log_every: steps between lines of the log.

  Raises:
    InputError: if a field is out of bounds.
  """

  epochs: int = at_least(0)
  steps: int = at_least(0)
  batch_size: int = at_least(1)
  checkpoint_every: int = at_least(1)
  keep_checkpoints: bool
  log_every: int = at_least(1)

  def __post_init__(self) -> None:
    check(self, 'train')

  def num_steps(self, num_images: int, batch_size: int) -> int:
    """The length of the run in steps."""
    return self.steps or math.ceil(self.epochs * num_images / batch_size)

  def checkpoint_steps(self, num_images: int, batch_size: int) -> set[int]:
    """The steps after which to validate and save: every `checkpoint_every` epochs and the last."""
    last = self.num_steps(num_images, batch_size)
    every = self.checkpoint_every
    ends = {math.ceil(n * every * num_images / batch_size) for n in range(1, last + 1)}
    return {step for step in ends if step < last} | {last}


def choose_batch_size(wanted: int, num_images: int, num_devices: int) -> int:
  """Chooses the batch size of a run; warns if the training set is too small for the wanted one.

  Args:
    wanted: `train.batch_size`.
    num_images: number of training images.
    num_devices: number of devices that share a batch.

  Returns:
    `wanted`, or the largest multiple of `num_devices` within the training set.

  Raises:
    InputError: if `wanted` is no multiple of `num_devices`, or there are fewer
      images than devices.
  """
  if wanted % num_devices:
    raise InputError(
      f'train.batch_size = {wanted} cannot be split evenly over {num_devices} devices; '
      f'use a multiple of {num_devices}'
    )
  if wanted <= num_images:
    return wanted
  size = num_images // num_devices * num_devices
  if not size:
    raise InputError(
      f'{num_images} training image(s) cannot be split over {num_devices} devices; '
      'add images or use fewer devices'
    )
  print(
    f'warning: only {num_images} training images: train.batch_size is {size}, not {wanted}',
    file=sys.stderr,
  )
  return size
