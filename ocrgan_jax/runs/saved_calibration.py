"""Calibrations as arrays, and the folder `calibrations` that `ocrgan calibrate` writes."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp

from ocrgan_jax.core.errors import Damaged
from ocrgan_jax.heads.maps import Heads
from ocrgan_jax.heads.tails import Tails
from ocrgan_jax.model.state import Trained
from ocrgan_jax.runs import run_folder
from ocrgan_jax.runs.checkpoint_files import (
  disk_errors_as_one_line,
  open_latest,
  read_items,
  steps_in,
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
  with disk_errors_as_one_line(folder, 'a calibration'), open_latest(folder) as manager:
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
  folders = steps_in((workdir / CALIBRATIONS).absolute())
  if not folders:
    return None
  last = max(folders, key=lambda folder: int(folder.name))
  try:
    restored = read_items(last, calibration=ocp.args.StandardRestore(), rule=ocp.args.JsonRestore())
  except Damaged as error:
    raise Damaged(
      f'{error}; run ocrgan calibrate again, or with --as_trained to restore the original'
    ) from None
  rule = restored['rule']
  score = {f'score.{name}': value for name, value in rule['score'].items()}
  score = run_folder.current_fields(score, workdir / CALIBRATIONS)
  score = {name.removeprefix('score.'): value for name, value in score.items()}
  return SavedCalibration(*from_arrays(restored['calibration']), score, rule['step'])


def remove_calibrations(workdir: Path) -> None:
  """Removes saved calibrations, so that the checkpoints' own apply again."""
  shutil.rmtree(workdir / CALIBRATIONS, ignore_errors=True)


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
