"""Saves and restores checkpoints with orbax.

A checkpoint is a folder `checkpoints/<step>` with these items: `calibration` (the scale and
threshold of the scores, and the heads or the unit of anomaly maps), `config`, `digests` (checksums
that are verified when the others are read) and, of networks, `state` (the arrays) and `batches`
(the position of the data iterator). The last two checkpoints and the best by validation are kept;
with `train.keep_checkpoints` all are. `calibrations/<n>` holds what `ocrgan calibrate` set later.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import ml_collections
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint import CheckpointManager
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from ocrgan_jax.core import sharding as meshes
from ocrgan_jax.core.digests import digests_of
from ocrgan_jax.core.errors import Damaged, InputError
from ocrgan_jax.data.batches import TrainingBatches
from ocrgan_jax.heads.maps import Heads
from ocrgan_jax.model.state import State, Trained
from ocrgan_jax.runs.checkpoint_files import (
  METRICS,
  VALIDATION,
  disk_errors_as_one_line,
  move_to_damaged,
  open_latest,
  read_items,
  scan_checkpoints,
  steps_in,
)
from ocrgan_jax.runs.saved_calibration import from_arrays, to_arrays
from ocrgan_jax.scoring.calibration import Calibration

PROTOCOLS = ('last', 'validation', 'oracle')


def open_checkpoints(workdir: Path, *, keep_all: bool = False) -> CheckpointManager:
  """Opens the checkpoints of a run for writing. Only the owner of the run may call it.

  Moves checkpoints with unreadable metadata to the run's folder `damaged`, with a warning:
  a single one would make orbax fail on all of them.

  Args:
    workdir: the run's folder.
    keep_all: whether to keep all checkpoints; else only the last two and the best by
      validation.

  Returns:
    The manager; the caller closes it.

  Raises:
    Damaged: if there are checkpoints, but none has readable metadata.
  """
  checkpoints = (workdir / 'checkpoints').absolute()
  with meshes.first_process_first('checkpoints'):
    whole, damaged = scan_checkpoints(checkpoints)
    for folder in damaged if whole else ():
      print(f'warning: checkpoint {folder} is damaged: moving it to damaged/', file=sys.stderr)
      move_to_damaged(folder)
  if damaged and not whole:
    raise Damaged(
      f'checkpoint {damaged[-1]} is damaged, and no other one is intact; use another --workdir'
    )
  by_validation = lambda metrics: metrics[VALIDATION]
  kept = policies.AnyPreservationPolicy(
    [policies.LatestN(2), policies.BestN(get_metric_fn=by_validation, n=1)]
  )
  options = ocp.CheckpointManagerOptions(
    best_fn=by_validation,
    preservation_policy=policies.PreserveAll() if keep_all else kept,
    enable_async_checkpointing=False,
    cleanup_tmp_directories=True,  # left by a process that was killed while saving
  )
  return CheckpointManager(checkpoints, options=options)


def save(
  manager: CheckpointManager,
  arrays: Heads | Trained,
  calibration: Calibration,
  config: ml_collections.ConfigDict,
  *,
  batches: TrainingBatches | None = None,
  validation_auroc: float = 0.5,
) -> None:
  """Saves one checkpoint atomically.

  Args:
    manager: from `open_checkpoints`.
    arrays: of the model. The step of networks names the checkpoint; that of heads is 0.
    calibration: of the model's scores.
    config: the run's config.
    batches: of networks, the training iterator, at the position of the state.
    validation_auroc: of networks, selects the best checkpoint.

  Raises:
    InputError: if the disk accepts no more data.
  """
  step, items = 0, {'calibration': to_arrays(calibration, arrays)}
  if isinstance(arrays, Trained) and batches:
    step, items = int(arrays.state.step), {**items, **_to_resume(arrays.state, batches)}
  _save(
    manager,
    step,
    items,
    metrics={VALIDATION: validation_auroc},
    config=ocp.args.JsonSave(config.to_dict()),
  )
  if jax.process_index() == 0:
    shutil.rmtree(_interrupted(manager), ignore_errors=True)


def save_interrupted(
  checkpoints: CheckpointManager, state: State, batches: TrainingBatches
) -> None:
  """Saves an interrupted training to `interrupted/<step>`, for resuming but not for scoring.

  Args:
    checkpoints: from `open_checkpoints`; the next `save` to it removes this one.
    state: the state after the last step.
    batches: the training iterator, at the position of the state.

  Raises:
    InputError: if the disk accepts no more data.
  """
  with open_latest(_interrupted(checkpoints)) as manager:
    _save(manager, int(state.step), _to_resume(state, batches))


def _interrupted(checkpoints: CheckpointManager) -> Path:
  return Path(checkpoints.directory).parent / 'interrupted'


def _to_resume(state: State, batches: TrainingBatches) -> dict[str, Any]:
  return {'state': flax.serialization.to_state_dict(state), 'batches': batches.get_state()}


def _save(
  manager: CheckpointManager,
  step: int,
  items: dict[str, Any],
  *,
  metrics: dict[str, float] | None = None,
  **more: ocp.args.CheckpointArgs,
) -> None:
  """Saves items with their checksums."""
  digests = {name: digests_of(item) for name, item in items.items()}
  if metrics:
    digests[METRICS] = digests_of(metrics)
  # The batches not with grain's handler: it saves one state per process, which fixes their number.
  saved = {
    name: ocp.args.JsonSave(item) if name == 'batches' else ocp.args.StandardSave(item)
    for name, item in items.items()
  }
  composite = ocp.args.Composite(**saved, **more, digests=ocp.args.JsonSave(digests))
  with disk_errors_as_one_line(Path(manager.directory)):
    manager.save(step, args=composite, metrics=metrics)


def restore_training(
  manager: CheckpointManager, like: State, sharding: Sharding, batches: TrainingBatches
) -> State | None:
  """Restores the last intact checkpoint, to resume training.

  Moves damaged checkpoints to the run's folder `damaged`, so that training can save at their
  steps again.

  Args:
    manager: from `open_checkpoints`.
    like: a state of the same structure, or its shapes.
    sharding: sharding of the restored arrays.
    batches: the training iterator; it is set to the saved position.

  Returns:
    The state; None if there is no checkpoint.

  Raises:
    Damaged: if there are checkpoints, but none is intact.
  """
  folders = [*steps_in(Path(manager.directory)), *steps_in(_interrupted(manager))]
  if not folders:
    return None
  folders.sort(key=lambda folder: int(folder.name), reverse=True)
  restored, damaged = _read_first_intact(
    folders,
    'use another --workdir',
    state=ocp.args.StandardRestore(_abstract(like, sharding)),
    batches=ocp.args.JsonRestore(),
  )
  # Only now: if none can be read, the cause may be elsewhere.
  for folder in damaged:
    with meshes.first_process_first('damaged'):
      move_to_damaged(folder)
  manager.reload()
  batches.set_state(restored['batches'])
  return _to_state(like, restored['state'])


def steps(workdir: Path, protocol: str) -> list[int]:
  """The checkpoints to evaluate under a protocol.

  Args:
    workdir: the run's folder.
    protocol: 'last', 'validation' (the best by validation) or 'oracle' (all checkpoints kept,
      to find the best on the test set).

  Returns:
    The steps of the checkpoints; a single one except for 'oracle'.

  Raises:
    InputError: if there is no checkpoint yet, or the protocol is unknown.
  """
  if protocol not in PROTOCOLS:
    raise InputError(f'no protocol {protocol!r}; use one of {", ".join(PROTOCOLS)}')
  whole, damaged = scan_checkpoints((workdir / 'checkpoints').absolute())
  for folder in damaged:
    print(f'warning: checkpoint {folder} is damaged: it is not used', file=sys.stderr)
  if not whole:
    raise InputError(f'no checkpoint in {workdir / "checkpoints"}; train first')
  if protocol == 'oracle':
    return sorted(whole)
  # Ties go to the later checkpoint, the one that orbax keeps.
  return [max(whole) if protocol == 'last' else max(whole, key=lambda step: (whole[step], step))]


def restore_scoring(
  workdir: Path, like: State | None, sharding: Sharding, step: int
) -> tuple[Heads | Trained, Calibration]:
  """Restores a checkpoint for scoring. If it is damaged, warns and uses the last intact one.

  Args:
    workdir: the run's folder.
    like: a state of the same structure, or its shapes; None for a model without networks.
    sharding: of the restored arrays.
    step: step of the checkpoint.

  Returns:
    The arrays of the model, and its calibration.

  Raises:
    Damaged: if no checkpoint is intact.
  """
  checkpoints = (workdir / 'checkpoints').absolute()
  others = sorted({*scan_checkpoints(checkpoints)[0]} - {step}, reverse=True)
  items = {'calibration': ocp.args.StandardRestore()}
  if like:
    items['state'] = ocp.args.StandardRestore(_abstract(like, sharding))
  folders = [checkpoints / str(step) for step in (step, *others)]
  restored, _ = _read_first_intact(folders, 'train again', **items)
  calibration, beside = from_arrays(restored['calibration'])
  arrays = Trained(_to_state(like, restored['state']), beside) if like else beside
  return jax.device_put(arrays, sharding), calibration


def _read_first_intact(
  folders: list[Path], advice: str, **items: ocp.args.CheckpointArgs
) -> tuple[Any, list[Path]]:
  """Reads the first intact checkpoint, and warns of the damaged ones before it.

  Args:
    folders: of the checkpoints, at least one.
    advice: what to do if none is intact.
    **items: to read.

  Returns:
    The items, and the folders of the damaged ones.

  Raises:
    Damaged: if none is intact; names the last one.
  """
  for i, folder in enumerate(folders):
    try:
      return _read(folder, items), folders[:i]
    except Damaged as error:
      if folder == folders[-1]:
        raise Damaged(f'{error}, and there is no other one; {advice}') from None
      print(f'warning: {error}; step {folders[i + 1].name} is used instead', file=sys.stderr)
  raise AssertionError('no folders')


def _read(folder: Path, items: dict[str, Any]) -> Any:
  """Reads and verifies items of a checkpoint.

  Raises:
    Damaged: names the checkpoint and what is wrong with it.
  """
  restored = read_items(folder, **items, digests=ocp.args.JsonRestore())
  for item, expected in restored['digests'].items():
    found = digests_of(restored[item]) if item in items else expected
    wrong = [name for name in expected if found.get(name) != expected[name]]
    if wrong:
      raise Damaged(
        f'checkpoint {folder} is damaged: {item} {wrong[0]} differs from what was saved'
      )
  return restored


def _to_state(like: State, fields: dict[str, Any]) -> State:
  state: State = flax.serialization.from_state_dict(like, fields)
  return state


def _abstract(like: State, sharding: Sharding) -> dict[str, Any]:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
    flax.serialization.to_state_dict(like),
  )
