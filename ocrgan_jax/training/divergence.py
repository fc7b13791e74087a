"""Stops training when a loss is not finite, and records where it happened."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_json
from ocrgan_jax.core.sharding import is_first_process
from ocrgan_jax.data.batches import TrainingBatches
from ocrgan_jax.data.images import Photographs
from ocrgan_jax.runs.training_images import TrainingImages
from ocrgan_jax.training.log import TrainingLog

NOT_FINITE_FILE = 'not_finite.json'  # in the run's folder
# Below this loss the release reinitialises its discriminator; this package only warns.
STALLED_DISCRIMINATOR = 1e-5


def stop_if_not_finite(
  workdir: Path,
  step: int,
  window: Sequence[dict[str, float]],
  batches: TrainingBatches,
  data: TrainingImages,
) -> None:
  """Stops training if a loss is not finite.

  Writes the first such step, its losses and the names of its images to NOT_FINITE_FILE.

  Args:
    workdir: the run's folder.
    step: the last step done.
    window: the losses of the last steps, in order.
    batches: the training batches.
    data: the training images.

  Raises:
    InputError: naming the first loss that is not finite.
  """
  for back, losses in zip(range(len(window) - 1, -1, -1), window, strict=True):
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
      indices = batches.indices(step - back - 1)
      images = data.normal.images
      if isinstance(images, Photographs):
        indices = np.searchsorted(images.first, indices, side='right') - 1
      names = [data.names[i] for i in indices]
      # As text: JSON has no NaN.
      shown = {name: f'{value:.6g}' for name, value in losses.items()}
      if is_first_process():
        write_json(
          workdir / NOT_FINITE_FILE, {'step': step - back, 'losses': shown, 'images': names}
        )
      raise InputError(
        f'the loss {broken[0]} is not finite at step {step - back} (its images and losses are in '
        f'{workdir / NOT_FINITE_FILE}); lower train.learning_rate'
      )


def report_stalled(log: TrainingLog, step: int, window: Sequence[dict[str, float]]) -> None:
  """Warns if D's loss is close to 0, where G no longer learns from it."""
  losses = [values['discriminator'] for values in window if 'discriminator' in values]
  if losses and abs(float(np.mean(losses))) < STALLED_DISCRIMINATOR:
    log.message(f'warning: D has stalled at step {step}: its loss is below {STALLED_DISCRIMINATOR}')
