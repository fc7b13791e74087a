"""Checkpoints: every call of orbax is here.

A checkpoint is a folder `checkpoints/<step>` with five items: `state` (the arrays),
`batches` (where the data iterator stands), `calibration` (the scale and threshold
of the scores, the units of the anomaly map, the density), `config`, and `digests`, checksums that
are verified when the others are read. Kept are the last two and the best by validation, or all.
`calibrations/<n>` holds what `ocrgan calibrate` chose for one of them since: a score, a threshold.
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
from ocrgan_jax.scoring.calibration import Calibration
from ocrgan_jax.runs.checkpoint_files import (METRICS, VALIDATION, short_reason, scan_checkpoints, move_to_damaged, silence_repeated_errors, disk_errors_as_one_line)
from ocrgan_jax.data.batches import TrainingBatches
from ocrgan_jax.core.digests import digests_of
from ocrgan_jax.core.errors import (Damaged, InputError)
from ocrgan_jax.runs.saved_calibration import (to_arrays, to_calibration)
from ocrgan_jax.model.state import State

PROTOCOLS = ('last', 'validation', 'oracle')


def open_checkpoints(workdir: Path, *, keep_all: bool = False) -> CheckpointManager:
  """Opens the checkpoints of a run, to go on with it; its owner alone may.

  Args:
    workdir: the run's folder. What does not describe itself any more is moved to its
      folder `damaged`, and that is told: orbax would fail on all of them.
    keep_all: whether a new checkpoint leaves all others where they are; else the
      last two and the best by validation are kept.

  Returns:
    The manager, to be closed.

  Raises:
    Damaged: if there are checkpoints and none describes itself.
  """
  checkpoints = (workdir / 'checkpoints').absolute()
  with meshes.first_process_first('checkpoints'):
    whole, damaged = scan_checkpoints(checkpoints)
    for folder in damaged if whole else ():
      print(f'warning: checkpoint {folder} is damaged: it is put aside', file=sys.stderr)
      move_to_damaged(folder)
  if damaged and not whole:
    raise Damaged(
      f'checkpoint {damaged[-1]} is damaged, and there is no other that is whole; '
      'use another --workdir'
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
    cleanup_tmp_directories=True,  # of a process that was killed while it saved
  )
  return CheckpointManager(checkpoints, options=options)


def save(
  manager: CheckpointManager,
  state: State,
  batches: TrainingBatches,
  calibration: Calibration,
  config: ml_collections.ConfigDict,
  validation_auroc: float,
) -> None:
  """Saves one checkpoint, all of it or nothing.

  Args:
    manager: from `open_checkpoints`.
    state: to save; its `step` names the checkpoint.
    batches: the iterator of training, as far as the state has come.
    calibration: of the scores of this state.
    config: of the run.
    validation_auroc: by which the best checkpoint is chosen.
  """
  items = {
    'state': _to_fields(state),
    'batches': batches.get_state(),
    'calibration': to_arrays(calibration),
  }
  saved = ocp.args.Composite(
    state=ocp.args.StandardSave(items['state']),
    # Not by grain's own handler, which saves for as many processes as there are.
    batches=ocp.args.JsonSave(items['batches']),
    calibration=ocp.args.StandardSave(items['calibration']),
    config=ocp.args.JsonSave(config.to_dict()),
    digests=_digests({**items, METRICS: {VALIDATION: validation_auroc}}),
  )
  with disk_errors_as_one_line(Path(manager.directory)):
    manager.save(int(state.step), args=saved, metrics={VALIDATION: validation_auroc})
  if jax.process_index() == 0:
    shutil.rmtree(_interrupted(manager), ignore_errors=True)


def save_interrupted(
  checkpoints: CheckpointManager, state: State, batches: TrainingBatches
) -> None:
  """Saves where training was interrupted, to `interrupted/<step>`: to go on from, not to score by.

  Args:
    checkpoints: from `open_checkpoints`; the next one that is saved there removes this.
    state: of the last step.
    batches: the iterator of training, as far as the state has come.
  """
  items = {'state': _to_fields(state), 'batches': batches.get_state()}
  saved = ocp.args.Composite(
    state=ocp.args.StandardSave(items['state']),
    batches=ocp.args.JsonSave(items['batches']),
    digests=_digests(items),
  )
  with _open_interrupted(checkpoints) as manager, disk_errors_as_one_line(Path(manager.directory)):
    manager.save(int(state.step), args=saved)


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
  """Restores the last checkpoint that is whole, to go on training from.

  Args:
    manager: from `open_checkpoints`. Damaged checkpoints are moved to its run's folder
      `damaged`, so that training can save at their steps again.
    like: a state, or its shapes.
    sharding: of the restored arrays.
    batches: the iterator of training, which is set to where it stood.

  Returns:
    The state; None if there is no checkpoint.

  Raises:
    Damaged: if there are checkpoints and none is whole.
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
        # None is moved before another was read: what is wrong with all of them may be elsewhere.
        if not saved:
          raise Damaged(f'{error}; there is none before it: use another --workdir') from None
        print(f'warning: {error}; training goes on from the one before', file=sys.stderr)
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
  """The checkpoints that a protocol looks at.

  Args:
    workdir: the run's folder.
    protocol: 'last', 'validation' (the best by validation) or 'oracle' (all that
      were kept, for the best on the test set is among them).

  Returns:
    Their steps; one but for 'oracle'.

  Raises:
    InputError: if there is no checkpoint yet, or no such protocol.
  """
  if protocol not in PROTOCOLS:
    raise InputError(f'no protocol {protocol!r}; there are {", ".join(PROTOCOLS)}')
  whole, damaged = scan_checkpoints((workdir / 'checkpoints').absolute())
  for folder in damaged:
    print(f'warning: checkpoint {folder} is damaged: it is not used', file=sys.stderr)
  if not whole:
    raise InputError(f'no checkpoint in {workdir / "checkpoints"}; train first')
  if protocol == 'oracle':
    return sorted(whole)
  # Of equals the later, as orbax keeps them.
  return [max(whole) if protocol == 'last' else max(whole, key=lambda step: (whole[step], step))]


def keep_last_and_best(workdir: Path) -> None:
  """Removes the checkpoints of a run that are neither its last nor its best by validation."""
  with open_checkpoints(workdir) as manager:
    for step in set(manager.all_steps()) - {manager.latest_step(), manager.best_step()}:
      manager.delete(step)


def restore_scoring(
  workdir: Path, like: State, sharding: Sharding, step: int
) -> tuple[State, Calibration]:
  """Restores a checkpoint for scoring, or the last whole one where it is damaged, and says so.

  Args:
    workdir: the run's folder.
    like: a state, or its shapes.
    sharding: of the restored arrays.
    step: of the checkpoint.

  Returns:
    The state and its calibration.

  Raises:
    Damaged: if none is what was saved.
  """
  checkpoints = (workdir / 'checkpoints').absolute()
  others = sorted({*scan_checkpoints(checkpoints)[0]} - {step}, reverse=True)
  for candidate, after in itertools.zip_longest([step, *others], others):
    try:
      restored = _read(
        checkpoints / str(candidate),
        state=ocp.args.StandardRestore(_abstract(like, sharding)),
        calibration=ocp.args.StandardRestore(),
      )
      break
    except Damaged as error:
      if after is None:
        raise Damaged(f'{error}, and there is no other; train again') from None
      print(f'warning: {error}; step {after} is used instead', file=sys.stderr)
  state = _to_state(like, restored['state'])
  return state, to_calibration(restored['calibration'])


def _read(folder: Path, **items: Any) -> Any:
  """Items of a checkpoint, verified.

  Raises:
    Damaged: naming the checkpoint and what is wrong with it.
  """
  verified = (folder / 'digests').exists()
  if verified:
    items['digests'] = ocp.args.JsonRestore()
  else:
    print(f'warning: {folder} has no checksums to verify it by', file=sys.stderr)
  silence_repeated_errors()
  try:
    # Not by a manager, which would read the others, too, and fail at a damaged one.
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
      restored = reader.restore(folder, args=ocp.args.Composite(**items))
  except Exception as error:  # orbax and tensorstore raise what they please
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
      raise Damaged(f'checkpoint {folder} is damaged: {item} {wrong[0]} is not what was saved')


def _to_fields(state: State) -> dict[str, Any]:
  """A state as nested dicts, without what earlier versions did not have, where it is empty."""
  fields = flax.serialization.to_state_dict(state)
  for part in (fields, fields['generator'], fields['discriminator']):
    for name in ('average', 'density'):
      if not part.get(name, True):
        del part[name]
  return fields


def _to_state(like: State, fields: dict[str, Any]) -> State:
  networks = {name: {'average': {}, **fields[name]} for name in ('generator', 'discriminator')}
  state: State = flax.serialization.from_state_dict(like, {'density': {}, **fields, **networks})
  return state


def _abstract(like: State, sharding: Sharding) -> dict[str, Any]:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), _to_fields(like)
  )
