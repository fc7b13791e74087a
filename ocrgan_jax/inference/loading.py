"""Restores a trained model from its run's folder."""

import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import jax

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import user_path
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import create_state
from ocrgan_jax.runs import checkpoint, run_folder, saved_calibration


def load(workdir: str | Path, *, protocol: str = 'last') -> Scorer:
  """Restores a trained model.

  Args:
    workdir: the run's folder.
    protocol: which checkpoint: 'last', or 'validation', the best by validation.

  Returns:
    The scorer.

  Raises:
    InputError: if the folder holds no run or no checkpoint, or the protocol is unknown.
  """
  if protocol == 'oracle':
    raise InputError(
      "the protocol 'oracle' selects on the test set, so only evaluation has it; "
      "use 'last' or 'validation'"
    )
  return next(load_each(workdir, protocol))


def load_each(workdir: str | Path, protocol: str, *, as_trained: bool = False) -> Iterator[Scorer]:
  """Restores the checkpoints that a protocol needs, one at a time.

  Args:
    workdir: the run's folder.
    protocol: see `checkpoint.steps`.
    as_trained: whether to ignore later changes by `ocrgan calibrate`.

  Yields:
    Scorers, earliest checkpoint first.

  Raises:
    InputError: as `load`.
  """
  workdir, mesh = user_path(workdir), sharding.make_mesh()
  config = run_folder.load_config(workdir)
  model = build_model(config)
  like = (
    jax.eval_shape(functools.partial(create_state, model), config.seed) if model.trains else None
  )
  saved = None if as_trained else saved_calibration.restore_calibration(workdir)
  for wanted in checkpoint.steps(workdir, protocol):
    arrays, calibration = checkpoint.restore_scoring(
      workdir, like, sharding.replicated(mesh), wanted
    )
    framing = run_folder.load_framing(workdir, config)
    scorer = Scorer(config, model, arrays, calibration, mesh, framing)
    # The step is an earlier one if the checkpoint is damaged.
    if saved and saved.step == scorer.step:
      scorer = _calibrated(scorer, saved)
    elif saved and protocol != 'oracle':
      print(
        f'warning: the setting of ocrgan calibrate is for step {saved.step}, but this is step '
        f'{scorer.step}, which uses its own threshold; run ocrgan calibrate again',
        file=sys.stderr,
      )
    yield scorer


def _calibrated(scorer: Scorer, saved: saved_calibration.SavedCalibration) -> Scorer:
  config = scorer.config.copy_and_resolve_references()
  config.score.update(saved.score)
  arrays = scorer.arrays._replace(map_unit=saved.beside) if scorer.model.trains else saved.beside
  return dataclasses.replace(
    scorer,
    config=config,
    model=build_model(config),
    arrays=jax.device_put(arrays, sharding.replicated(scorer.mesh)),
    calibration=saved.calibration,
  )
