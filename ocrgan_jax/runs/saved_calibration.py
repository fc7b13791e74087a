"""Calibrations as arrays, and the folder `calibrations` that `ocrgan calibrate` writes."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import CheckpointManager

from ocrgan_jax.core.errors import Damaged
from ocrgan_jax.heads.maps import Heads
from ocrgan_jax.heads.tails import Tails
from ocrgan_jax.model.state import Trained
from ocrgan_jax.runs import run_folder
from ocrgan_jax.runs.checkpoint_files import (
  disk_errors_as_one_line,
  short_reason,
  silence_repeated_errors,
)
from ocrgan_jax.scoring.calibration import Calibration

CALIBRATIONS = 'calibrations'


def save_calibration(
  workdir: Path,
  step: int,
  calibration: Calibration,
  arrays: Heads | Trained,
  score: ml_collections.ConfigDict,
) -> None:
  """Saves a new calibration of a checkpoint; replaces an earlier one.

  Args:
    workdir: the run's folder.
    step: step of the checkpoint.
    calibration: calibration of the checkpoint's scores.
    arrays: of the model.
    score: the config's section `score` for this calibration.

  Raises:
    InputError: if the disk accepts no more data.
  """
  folder = workdir / CALIBRATIONS
  with disk_errors_as_one_line(folder, 'a calibration'), _open_calibrations(workdir) as manager:
    manager.save(
      (manager.latest_step() or 0) + 1,
      args=ocp.args.Composite(
        calibration=ocp.args.StandardSave(to_arrays(calibration, arrays)),
        rule=ocp.args.JsonSave({'step': step, 'score': score.to_dict()}),
      ),
    )


class SavedCalibration(NamedTuple):
  """What `ocrgan calibrate` set.

  Attributes:
    calibration: of the scores.
    beside: heads, or the unit of maps; see `from_arrays`.
    score: fields of the config's section `score`.
    step: of its checkpoint.
  """

  calibration: Calibration
  beside: Any
  score: dict[str, Any]
  step: int


def restore_calibration(workdir: Path) -> SavedCalibration | None:
  """Restores the last saved calibration.

  Args:
    workdir: the run's folder.

  Returns:
    The calibration; None if none was saved.

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
  score = run_folder.current_fields(score, workdir / CALIBRATIONS)
  score = {name.removeprefix('score.'): value for name, value in score.items()}
  return SavedCalibration(*from_arrays(restored['calibration']), score, rule['step'])


def remove_calibrations(workdir: Path) -> None:
  """Removes saved calibrations, so that the checkpoints' own apply again."""
  shutil.rmtree(workdir / CALIBRATIONS, ignore_errors=True)


def _open_calibrations(workdir: Path) -> CheckpointManager:
  options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
  return CheckpointManager((workdir / CALIBRATIONS).absolute(), options=options)


def to_arrays(calibration: Calibration, arrays: Heads | Trained) -> dict[str, Any]:
  """A calibration, and what its scores need beside networks, as nested dicts of arrays.

  Args:
    calibration: of the scores.
    arrays: of the model; of networks only the unit of their maps is kept here.

  Returns:
    The item `calibration` of a checkpoint. Heads that are off are left out.
  """
  fields = calibration._asdict()
  if isinstance(arrays, Trained):
    fields['map_unit'] = arrays.map_unit
  else:
    parts = {name: x for name, x in arrays._asdict().items() if x is not None}
    # Files have called the heads so since version 0.2.
    fields['detector'] = {**parts, 'tails': arrays.tails._asdict()}
  return jax.tree.map(np.asarray, fields)


def from_arrays(fields: dict[str, Any]) -> tuple[Calibration, Heads | np.float32]:
  """The reverse of `to_arrays`: the calibration, and the heads or the unit of maps."""
  fields = jax.tree.map(np.asarray, fields)
  found, unit = fields.pop('detector', None), fields.pop('map_unit', None)
  values = {name: value if value.ndim else value.item() for name, value in fields.items()}
  calibration = Calibration(**values)
  if found is None:
    return calibration, np.float32(np.ravel(unit)[0])  # earlier it was an array of one number
  parts = {**dict.fromkeys(Heads._fields), **found, 'tails': Tails(**found['tails'])}
  return calibration, Heads(**parts)
