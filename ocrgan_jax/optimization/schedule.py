"""How long a run trains, in what batches, and when it is validated and saved."""

import dataclasses
import math
import sys

from ocrgan_jax.core.checks import at_least, check, one_of
from ocrgan_jax.core.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
  """The fields of the config's section `train` that the training loop follows.

  Attributes:
    epochs: passes over the training images.
    steps: of the whole run, instead of epochs; 0 to go by epochs. With 0 of both nothing
      is trained.
    batch_size: images a step, over all devices.
    checkpoint_every: epochs between validations, each saved.
    keep_checkpoints: whether every checkpoint is kept.
    log_every: steps between lines of the log.
    track: where the log goes beside, 'wandb', 'mlflow' or 'none'.

  Raises:
    InputError: if a field is out of bounds.
  """

  epochs: int = at_least(0)
  steps: int = at_least(0)
  batch_size: int = at_least(1)
  checkpoint_every: int = at_least(1)
  keep_checkpoints: bool
  log_every: int = at_least(1)
  track: str = one_of('none', 'wandb', 'mlflow')

  def __post_init__(self) -> None:
    check(self, 'train')

  @property
  def trains(self) -> bool:
    """Whether anything is trained."""
    return self.steps > 0 or self.epochs > 0

  def num_steps(self, num_images: int, batch_size: int) -> int:
    """The steps of the whole run."""
    return self.steps or math.ceil(self.epochs * num_images / batch_size)

  def checkpoint_steps(self, num_images: int, batch_size: int) -> set[int]:
    """The steps after which to validate and save: the ends of some epochs, and the last."""
    last = self.num_steps(num_images, batch_size)
    every = self.checkpoint_every
    ends = {math.ceil(n * every * num_images / batch_size) for n in range(1, last + 1)}
    return {step for step in ends if step < last} | {last}


def choose_batch_size(wanted: int, num_images: int, num_devices: int) -> int:
  """The batch size of a run, shrunk to the training set with a warning.

  Args:
    wanted: `train.batch_size`.
    num_images: images to train on.
    num_devices: that share a batch.

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
    raise InputError(f'{num_images} training image(s) cannot be split over {num_devices} devices')
  print(
    f'warning: only {num_images} images to train on: train.batch_size is {size}, not {wanted}',
    file=sys.stderr,
  )
  return size
