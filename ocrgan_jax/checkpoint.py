"""Checkpoints: every call of orbax is here.

A checkpoint is a folder `checkpoints/<step>` with four items: `state` (the arrays),
`batches` (where the data iterator stands), `calibration` (the scale and threshold
of the scores, the units of the anomaly map, the density) and `config`. Kept are the last
one and the best by validation, or all. `calibrations/<n>` holds what `ocrgan calibrate` chose
for one of them since: a score, a threshold.
"""

import shutil
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint import CheckpointManager
from orbax.checkpoint.checkpoint_managers import preservation_policy

from ocrgan_jax.calibration import Calibration
from ocrgan_jax.data.pipeline import TrainingBatches
from ocrgan_jax.density import Gaussians
from ocrgan_jax.errors import InputError
from ocrgan_jax.state import State

VALIDATION = 'validation_auroc'
CALIBRATIONS = 'calibrations'
PROTOCOLS = ('last', 'validation', 'oracle')


def open_checkpoints(workdir: Path, *, keep_all: bool = False) -> CheckpointManager:
  """Opens the checkpoints of a run.

  Args:
    workdir: the run's folder.
    keep_all: whether a new checkpoint leaves all others where they are; else the
      last and the best by validation are kept.

  Returns:
    The manager, to be closed.
  """
  by_validation = lambda metrics: metrics[VALIDATION]
  policies = preservation_policy
  kept = [policies.LatestN(1), policies.BestN(get_metric_fn=by_validation, n=1)]
  options = ocp.CheckpointManagerOptions(
    best_fn=by_validation,
    preservation_policy=(
      policies.PreserveAll() if keep_all else policies.AnyPreservationPolicy(kept)
    ),
    enable_async_checkpointing=False,
  )
  return CheckpointManager((workdir / 'checkpoints').absolute(), options=options)


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
  manager.save(
    int(state.step),
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(_to_fields(state)),
      # Not by grain's own handler, which saves for as many processes as there are.
      batches=ocp.args.JsonSave(batches.get_state()),
      calibration=ocp.args.StandardSave(_to_arrays(calibration)),
      config=ocp.args.JsonSave(config.to_dict()),
    ),
    metrics={VALIDATION: validation_auroc},
  )


def restore_training(
  manager: CheckpointManager, like: State, sharding: Sharding, batches: TrainingBatches
) -> State:
  """Restores the last checkpoint to go on training from.

  Args:
    manager: from `open_checkpoints`, with at least one checkpoint.
    like: a state, or its shapes.
    sharding: of the restored arrays.
    batches: the iterator of training, which is set to where it stood.

  Returns:
    The state.
  """
  restored = manager.restore(
    manager.latest_step(),
    args=ocp.args.Composite(
      state=ocp.args.StandardRestore(_abstract(like, sharding)),
      batches=ocp.args.JsonRestore(),
    ),
  )
  batches.set_state(restored['batches'])
  return _to_state(like, restored['state'])


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
  # Closed before anything else happens: an open manager keeps a failing process from ending.
  with open_checkpoints(workdir) as manager:
    kept, best = sorted(manager.all_steps()), manager.best_step()
  if not kept:
    raise InputError(f'no checkpoint in {workdir / "checkpoints"}; train first')
  if protocol == 'oracle':
    return kept
  assert best is not None
  return [kept[-1] if protocol == 'last' else best]


def keep_last_and_best(workdir: Path) -> None:
  """Removes the checkpoints of a run that are neither its last nor its best by validation."""
  with open_checkpoints(workdir) as manager:
    for step in set(manager.all_steps()) - {manager.latest_step(), manager.best_step()}:
      manager.delete(step)


def restore_scoring(
  workdir: Path, like: State, sharding: Sharding, step: int
) -> tuple[State, Calibration]:
  """Restores a checkpoint for scoring.

  Args:
    workdir: the run's folder.
    like: a state, or its shapes.
    sharding: of the restored arrays.
    step: of the checkpoint.

  Returns:
    The state and its calibration.
  """
  with open_checkpoints(workdir) as manager:
    restored = manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(_abstract(like, sharding)),
        calibration=ocp.args.StandardRestore(),
      ),
    )
  state = _to_state(like, restored['state'])
  return state, _to_calibration(restored['calibration'])


def save_calibration(
  workdir: Path, step: int, calibration: Calibration, score: ml_collections.ConfigDict
) -> None:
  """Saves another calibration of a checkpoint, instead of an earlier one.

  Args:
    workdir: the run's folder.
    step: of the checkpoint.
    calibration: of its scores.
    score: the config's section `score` that it was made by.
  """
  with _open_calibrations(workdir) as manager:
    manager.save(
      (manager.latest_step() or 0) + 1,
      args=ocp.args.Composite(
        calibration=ocp.args.StandardSave(_to_arrays(calibration)),
        rule=ocp.args.JsonSave({'step': step, 'score': score.to_dict()}),
      ),
    )


def restore_calibration(workdir: Path) -> tuple[Calibration, dict[str, Any], int] | None:
  """The calibration that was saved last.

  Args:
    workdir: the run's folder.

  Returns:
    It, the fields of the config's section `score`, and the step of the checkpoint that it
    is of; None if there is none.
  """
  if not (workdir / CALIBRATIONS).exists():
    return None
  with _open_calibrations(workdir) as manager:
    if manager.latest_step() is None:
      return None
    restored = manager.restore(
      manager.latest_step(),
      args=ocp.args.Composite(calibration=ocp.args.StandardRestore(), rule=ocp.args.JsonRestore()),
    )
  rule = restored['rule']
  return _to_calibration(restored['calibration']), rule['score'], rule['step']


def remove_calibrations(workdir: Path) -> None:
  """Goes back to the calibrations that the checkpoints have themselves."""
  shutil.rmtree(workdir / CALIBRATIONS, ignore_errors=True)


def _open_calibrations(workdir: Path) -> CheckpointManager:
  options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
  return CheckpointManager((workdir / CALIBRATIONS).absolute(), options=options)


def _to_arrays(calibration: Calibration) -> dict[str, Any]:
  """A calibration as nested dicts of arrays; what it has not is left out."""
  fields = calibration._asdict()
  fitted = fields.pop('density')
  if fitted is not None:
    fields['density'] = {str(i): part._asdict() for i, part in enumerate(fitted)}
  return jax.tree.map(np.asarray, fields)


def _to_calibration(fields: dict[str, Any]) -> Calibration:
  fields = jax.tree.map(np.asarray, fields)
  fitted = fields.pop('density', None)
  if fields['map_unit'].ndim == 2:  # of a version in which there was one map
    fields['map_unit'] = fields['map_unit'][None]
  values = {name: value.item() if not value.ndim else value for name, value in fields.items()}
  parts = tuple(Gaussians(**fitted[str(i)]) for i in range(len(fitted))) if fitted else None
  return Calibration(**values, density=parts)


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
