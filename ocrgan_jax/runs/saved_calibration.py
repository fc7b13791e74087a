"""Calibrations as arrays, and the folder `calibrations` that `ocrgan calibrate` writes."""

import shutil
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import CheckpointManager

from ocrgan_jax.core.errors import Damaged
from ocrgan_jax.heads.maps import Detector
from ocrgan_jax.heads.tails import Tails
from ocrgan_jax.runs import run_folder
from ocrgan_jax.runs.checkpoint_files import (
  disk_errors_as_one_line,
  short_reason,
  silence_repeated_errors,
)
from ocrgan_jax.scoring.calibration import Calibration

CALIBRATIONS = 'calibrations'


def save_calibration(
  workdir: Path, step: int, calibration: Calibration, score: ml_collections.ConfigDict
) -> None:
  """Saves a new calibration of a checkpoint; replaces an earlier one.

  Args:
    workdir: the run's folder.
    step: step of the checkpoint.
    calibration: calibration of the checkpoint's scores.
    score: the config's section `score` for this calibration.

  Raises:
    InputError: if the disk accepts no more data.
  """
  folder = workdir / CALIBRATIONS
  with disk_errors_as_one_line(folder, 'a calibration'), _open_calibrations(workdir) as manager:
    manager.save(
      (manager.latest_step() or 0) + 1,
      args=ocp.args.Composite(
        calibration=ocp.args.StandardSave(to_arrays(calibration)),
        rule=ocp.args.JsonSave({'step': step, 'score': score.to_dict()}),
      ),
    )


def restore_calibration(workdir: Path) -> tuple[Calibration, dict[str, Any], int] | None:
  """Restores the last saved calibration.

  Args:
    workdir: the run's folder.

  Returns:
    The calibration, the fields of its config section `score`, and the step of its checkpoint;
    None if none was saved.

  Raises:
    Damaged: if the calibration cannot be read.
  """
  if not (workdir / CALIBRATIONS).exists():
    return None
  silence_repeated_errors()
  with _open_calibrations(workdir) as manager:
    if manager.latest_step() is None:
      return None
    items = {'calibration': ocp.args.StandardRestore(), 'rule': ocp.args.JsonRestore()}
    try:
      restored = manager.restore(manager.latest_step(), args=ocp.args.Composite(**items))
      rule = restored['rule']
    except Exception as error:  # orbax and tensorstore raise many types
      raise Damaged(
        f'{workdir / CALIBRATIONS} is damaged: {short_reason(error)[:200]}; run ocrgan calibrate '
        'again, or with --as_trained to restore the original'
      ) from None
  score = {f'score.{name}': value for name, value in rule['score'].items()}
  score = run_folder.without_removed(score, workdir / CALIBRATIONS)
  score = {name.removeprefix('score.'): value for name, value in score.items()}
  return to_calibration(restored['calibration']), score, rule['step']


def remove_calibrations(workdir: Path) -> None:
  """Removes saved calibrations, so that the checkpoints' own apply again."""
  shutil.rmtree(workdir / CALIBRATIONS, ignore_errors=True)


def _open_calibrations(workdir: Path) -> CheckpointManager:
  options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
  return CheckpointManager((workdir / CALIBRATIONS).absolute(), options=options)


def to_arrays(calibration: Calibration) -> dict[str, Any]:
  """A calibration as nested dicts of arrays; omits missing heads."""
  fields = calibration._asdict()
  detector = fields.pop('detector')
  if detector is not None:
    arrays = {name: x for name, x in detector._asdict().items() if x is not None}
    fields['detector'] = {**arrays, 'tails': detector.tails._asdict()}
  return jax.tree.map(np.asarray, fields)


def to_calibration(fields: dict[str, Any]) -> Calibration:
  """The reverse of `to_arrays`."""
  fields = jax.tree.map(np.asarray, fields)
  found = fields.pop('detector', None)
  if fields['map_unit'].ndim == 2:  # from a version with a single map
    fields['map_unit'] = fields['map_unit'][None]
  values = {name: value.item() if not value.ndim else value for name, value in fields.items()}
  detector = None
  if found:
    arrays = {**dict.fromkeys(Detector._fields), **found, 'tails': Tails(**found['tails'])}
    detector = Detector(**arrays)
  return Calibration(**values, detector=detector)
