"""Restores a trained model from its run's folder."""

import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import user_path
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import create_state
from ocrgan_jax.runs import checkpoint, run_folder, saved_calibration
from ocrgan_jax.scoring.calibration import Calibration


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
  like = jax.eval_shape(functools.partial(create_state, model), config.seed)
  chosen = None if as_trained else saved_calibration.restore_calibration(workdir)
  for step in checkpoint.steps(workdir, protocol):
    state, calibration = checkpoint.restore_scoring(workdir, like, sharding.replicated(mesh), step)
    step = int(state.step)  # an earlier one if the checkpoint is damaged
    framing = run_folder.load_framing(workdir, config)
    scorer = Scorer(config, model, state, calibration, mesh, framing)
    if chosen and chosen[2] == step:
      scorer = _calibrated(scorer, *chosen[:2])
    elif chosen and protocol != 'oracle':
      print(
        f'warning: the setting of ocrgan calibrate is for step {chosen[2]}, but this is step '
        f'{step}, which uses its own threshold; run ocrgan calibrate again',
        file=sys.stderr,
      )
    yield scorer


def _calibrated(scorer: Scorer, calibration: Calibration, score: dict[str, Any]) -> Scorer:
  config = scorer.config.copy_and_resolve_references()
  config.score.update(score)
  model = build_model(config)
  return dataclasses.replace(scorer, config=config, model=model, calibration=calibration)
