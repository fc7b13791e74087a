"""Changes the threshold or the score of a trained model."""

import dataclasses
from pathlib import Path
from typing import Any

from ocrgan_jax.configs import default
from ocrgan_jax.core.checks import flat_fields, read
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import check_writable, user_path
from ocrgan_jax.data.disturbance import Tolerance
from ocrgan_jax.data.images import NormalImages
from ocrgan_jax.inference.loading import load_each
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.bands import Bands
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.runs import run_folder, saved_calibration
from ocrgan_jax.runs.training_images import load_training_images
from ocrgan_jax.scoring.anomaly_score import HEADS
from ocrgan_jax.scoring.calibration import with_threshold
from ocrgan_jax.training.bands import fit_bands
from ocrgan_jax.training.validation import validate

# The fields of `config.score` that only set the threshold. Changing them needs no images.
THRESHOLD_FIELDS = ('false_alarms', 'threshold')


def calibrate(
  workdir: str | Path,
  score: dict[str, Any],
  *,
  protocol: str = 'last',
  as_trained: bool = False,
) -> Scorer:
  """Sets the threshold and the score of a checkpoint, and saves them in the run's folder.

  Args:
    workdir: the run's folder.
    score: fields of the config's section `score` to change. Fields other than THRESHOLD_FIELDS
      need the run's training images.
    protocol: which checkpoint: 'last' or 'validation'.
    as_trained: whether to start from the setting in training, discarding later changes.

  Returns:
    The model with its new setting.

  Raises:
    InputError: if the run, its images or a field cannot be used.
  """
  workdir = user_path(workdir)
  if protocol == 'oracle':
    raise InputError("the protocol 'oracle' is only for evaluation; use 'last' or 'validation'")
  run_folder.load_config(workdir)  # so that a missing run is the first error
  if score or as_trained:
    check_writable(
      workdir / saved_calibration.CALIBRATIONS / 'x', '--workdir: a copy that you may write to'
    )
  scorer = next(load_each(workdir, protocol, as_trained=as_trained))
  if {*score} - {*THRESHOLD_FIELDS}:
    data = load_training_images(scorer.config, workdir)
    scorer = with_score(scorer, score, data.normal)
  elif score:
    scorer = with_threshold_rule(scorer, score)
  if as_trained and not score:
    saved_calibration.remove_calibrations(workdir)
  if score:
    saved_calibration.save_calibration(
      workdir, scorer.step, scorer.calibration, scorer.arrays, scorer.config.score
    )
  return scorer


def with_threshold_rule(scorer: Scorer, changes: dict[str, Any]) -> Scorer:
  """Sets the threshold by another rule, from the held-out scores saved with the model.

  Args:
    scorer: of a run.
    changes: fields of the config's section `score`, only from THRESHOLD_FIELDS.

  Returns:
    The new scorer.

  Raises:
    InputError: if a field is invalid.
  """
  config = scorer.config.copy_and_resolve_references()
  config.score.update(_with_one_threshold(changes))
  model = build_model(config)
  calibration = with_threshold(scorer.calibration, model.score)
  return dataclasses.replace(scorer, config=config, model=model, calibration=calibration)


def _with_one_threshold(changes: dict[str, Any]) -> dict[str, Any]:
  """If a change sets a rate, the fixed threshold no longer applies."""
  return {'threshold': None, **changes} if 'false_alarms' in changes else changes


def with_score(scorer: Scorer, changes: dict[str, Any], normal: NormalImages) -> Scorer:
  """Recalibrates a model with other fields of `config.score`.

  Args:
    scorer: of a run.
    changes: fields of the config's section `score`.
    normal: the normal images of the run.

  Returns:
    The new scorer.

  Raises:
    InputError: if a field is invalid, or the score needs a discriminator that the run did not
      train.
  """
  config = scorer.config.copy_and_resolve_references()
  config.score.update(_with_one_threshold(changes))
  if (config.score.kind == HEADS) == scorer.model.trains:
    raise InputError(
      f'score.kind={config.score.kind} does not fit this run: heads score the recipe bands, and '
      'eq13 and map score networks; train a run of that recipe'
    )
  model = build_model(config)
  if isinstance(model, Bands):
    tolerance = read(Tolerance, config.data.tolerate)
    fitted = fit_bands(model, scorer.mesh, normal, tolerance, scorer.batch_size)
    return dataclasses.replace(
      scorer, config=config, model=model, arrays=fitted.heads, calibration=fitted.calibration
    )
  assert isinstance(scorer.model, OCRGAN)
  if model.trains_discriminator and not scorer.model.trains_discriminator:
    raise InputError(
      'this score needs the discriminator, which the run did not train; '
      'use --score.kind=map or --score.content_weight=1'
    )
  found = validate(model, scorer.mesh, normal, scorer.batch_size, scorer.state)
  return dataclasses.replace(
    scorer, config=config, model=model, arrays=found.trained, calibration=found.calibration
  )


def fit_bands_beside(scorer: Scorer, normal: NormalImages) -> Scorer:
  """Fits the recipe `bands` to the images of a run of networks, for comparison.

  Args:
    scorer: of the run.
    normal: the normal images of the run.

  Returns:
    The scorer of that recipe.
  """
  config = default.get_config('bands')
  fields = flat_fields(scorer.config)
  same = ['seed', 'image_size', 'train.batch_size']
  same += [name for name in fields if name.startswith('data.')]
  config.update_from_flattened_dict({name: fields[name] for name in same})
  model = build_model(config)
  assert isinstance(model, Bands)
  tolerance = read(Tolerance, config.data.tolerate)
  heads, calibration = fit_bands(model, scorer.mesh, normal, tolerance, scorer.batch_size)
  return Scorer(config, model, heads, calibration, scorer.mesh, scorer.framing)
