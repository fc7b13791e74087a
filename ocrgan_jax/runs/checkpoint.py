"""Saves and restores checkpoints with orbax.

A checkpoint is a folder `checkpoints/<step>` with these items: `calibration` (the scale and
threshold of the scores, and the heads or the unit of anomaly maps), `config`, `digests` (checksums
that are verified when the others are read) and, of networks, `state` (the arrays) and `batches`
(the position of the data iterator). The last two checkpoints and the best by validation are kept;
with `train.keep_checkpoints` all are. `calibrations/<n>` holds what `ocrgan calibrate` set later.
"""

import contextlib
import itertools
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
from orbax.checkpoint.checkpoint_managers import preservation_policy

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
  scan_checkpoints,
  short_reason,
  silence_repeated_errors,
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
  policies = preservation_policy
  kept = [policies.LatestN(2), policies.BestN(get_metric_fn=by_validation, n=1)]
  options = ocp.CheckpointManagerOptions(
    best_fn=by_validation,
    preservation_policy=(
      policies.PreserveAll() if keep_all else policies.AnyPreservationPolicy(kept)
    ),
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
  items = {'calibration': to_arrays(calibration, arrays)}
  step = 0
  if isinstance(arrays, Trained) and batches:
    step = int(arrays.state.step)
    items |= {'state': _to_fields(arrays.state), 'batches': batches.get_state()}
  saved = ocp.args.Composite(
    **_to_save(items),
    config=ocp.args.JsonSave(config.to_dict()),
    digests=_digests({**items, METRICS: {VALIDATION: validation_auroc}}),
  )
  with disk_errors_as_one_line(Path(manager.directory)):
    manager.save(step, args=saved, metrics={VALIDATION: validation_auroc})
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
  items = {'state': _to_fields(state), 'batches': batches.get_state()}
  saved = ocp.args.Composite(**_to_save(items), digests=_digests(items))
  with _open_interrupted(checkpoints) as manager, disk_errors_as_one_line(Path(manager.directory)):
    manager.save(int(state.step), args=saved)


def _to_save(items: dict[str, Any]) -> dict[str, Any]:
  # The batches not with grain's handler: it saves one state per process, which fixes their number.
  return {
    name: ocp.args.JsonSave(item) if name == 'batches' else ocp.args.StandardSave(item)
    for name, item in items.items()
  }


def _digests(items: dict[str, Any]) -> ocp.args.JsonSave:
  return ocp.args.JsonSave({name: digests_of(item) for name, item in items.items()})


def _interrupted(checkpoints: CheckpointManager) -> Path:
  return Path(checkpoints.directory).parent / 'interrupted'


def _open_interrupted(checkpoints: CheckpointManager) -> CheckpointManager:
  options = ocp.CheckpointManagerOptions(
    max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
  )
  return CheckpointManager(_interrupted(checkpoints), options=options)


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
  with contextlib.ExitStack() as stack:
    saved = [(step, manager) for step in manager.all_steps()]
    if _interrupted(manager).exists():
      interrupted = stack.enter_context(_open_interrupted(manager))
      saved += [(step, interrupted) for step in interrupted.all_steps()]
    saved.sort(key=lambda pair: pair[0])
    damaged: list[tuple[int, CheckpointManager]] = []
    while saved:
      step, source = saved.pop()
      try:
        restored = _read(
          Path(source.directory, str(step)),
          state=ocp.args.StandardRestore(_abstract(like, sharding)),
          batches=ocp.args.JsonRestore(),
        )
      except Damaged as error:
        # Moved only once another one was read: if none can be, the cause may be elsewhere.
        if not saved:
          raise Damaged(f'{error}; there is no earlier one: use another --workdir') from None
        print(f'warning: {error}; training resumes from the one before', file=sys.stderr)
        damaged.append((step, source))
        continue
      for bad, of in damaged:
        with meshes.first_process_first('damaged'):
          move_to_damaged(Path(of.directory, str(bad)))
        of.reload()
      batches.set_state(restored['batches'])
      return _to_state(like, restored['state'])
  return None


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
  for candidate, after in itertools.zip_longest([step, *others], others):
    try:
      restored = _read(
        checkpoints / str(candidate),
        calibration=ocp.args.StandardRestore(),
        **({'state': ocp.args.StandardRestore(_abstract(like, sharding))} if like else {}),
      )
      break
    except Damaged as error:
      if after is None:
        raise Damaged(f'{error}, and there is no other one; train again') from None
      print(f'warning: {error}; step {after} is used instead', file=sys.stderr)
  calibration, beside = from_arrays(restored['calibration'])
  arrays = Trained(_to_state(like, restored['state']), beside) if like else beside
  return jax.device_put(arrays, sharding), calibration


def _read(folder: Path, **items: Any) -> Any:
  """Reads and verifies items of a checkpoint.

  Raises:
    Damaged: names the checkpoint and what is wrong with it.
  """
  verified = (folder / 'digests').exists()
  if verified:
    items['digests'] = ocp.args.JsonRestore()
  else:
    print(f'warning: {folder} has no checksums, so it is not verified', file=sys.stderr)
  silence_repeated_errors()
  try:
    # Not with a manager: it reads the other checkpoints, too, and fails if one is damaged.
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
      restored = reader.restore(folder, args=ocp.args.Composite(**items))
  except Exception as error:  # orbax and tensorstore raise many types
    reason = short_reason(error)[:200] or type(error).__name__
    raise Damaged(f'checkpoint {folder} is damaged: {reason}') from None
  if verified:
    _verify(folder, restored)
  return restored


def _verify(folder: Path, restored: Any) -> None:
  for item, expected in restored['digests'].items():
    if item not in restored:
      continue
    found = digests_of(restored[item])
    wrong = [name for name in expected if found.get(name) != expected[name]]
    if wrong:
      raise Damaged(
        f'checkpoint {folder} is damaged: {item} {wrong[0]} differs from what was saved'
      )


def _to_fields(state: State) -> dict[str, Any]:
  fields: dict[str, Any] = flax.serialization.to_state_dict(state)
  return fields


def _to_state(like: State, fields: dict[str, Any]) -> State:
  state: State = flax.serialization.from_state_dict(like, fields)
  return state


def _abstract(like: State, sharding: Sharding) -> dict[str, Any]:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), _to_fields(like)
  )
