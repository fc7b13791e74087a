"""Losses that make no sense: a training stops at them, and leaves the evidence."""

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

EVIDENCE = 'not_finite.json'  # in the run's folder
# Under this the release threw its discriminator away; here it is only reported.
STALLED_DISCRIMINATOR = 1e-5


def stop_if_not_finite(
  workdir: Path,
  step: int,
  window: Sequence[dict[str, float]],
  batches: TrainingBatches,
  data: TrainingImages,
) -> None:
  """Stops a training whose losses are no numbers any more.

  Args:
    workdir: the run's folder, where the first such step, its losses and the names of its
      images are written to EVIDENCE.
    step: that was done last.
    window: the losses of the last steps, in order.
    batches: of the training.
    data: its images.

  Raises:
    InputError: naming the first loss that is not finite.
  """
  for back, losses in zip(range(len(window) - 1, -1, -1), window, strict=True):
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
      indices = batches.indices(step - back - 1)
      if isinstance(data.images, Photographs):
        indices = np.searchsorted(data.images.first, indices, side='right') - 1
      names = [data.names[i] for i in indices]
      # As text: JSON has no NaN.
      shown = {name: f'{value:.6g}' for name, value in losses.items()}
      if is_first_process():
        write_json(workdir / EVIDENCE, {'step': step - back, 'losses': shown, 'images': names})
      raise InputError(
        f'the loss {broken[0]} is not finite at step {step - back}; its images and losses are in '
        f'{workdir / EVIDENCE}. Lower train.learning_rate, or set train.clip'
      )


def report_stalled(log: TrainingLog, step: int, window: Sequence[dict[str, float]]) -> None:
  """Tells of a discriminator whose loss has fallen to nothing: G learns nothing from it."""
  losses = [values['discriminator'] for values in window if 'discriminator' in values]
  if losses and abs(float(np.mean(losses))) < STALLED_DISCRIMINATOR:
    log.message(f'warning: D has stalled at step {step}: its loss is under {STALLED_DISCRIMINATOR}')
