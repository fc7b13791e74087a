"""Checkpoints: every call of orbax is here.

A checkpoint is a folder `checkpoints/<step>` with four items: `state` (the arrays),
`batches` (where the data iterator stands), `calibration` (the scale and threshold
of the scores) and `config`. Kept are the last one and the best by validation.
"""

from pathlib import Path
from typing import Any

import flax.serialization
import grain
import jax
import ml_collections
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import preservation_policy

from ocrgan_jax.data.pipeline import TrainingBatches
from ocrgan_jax.errors import InputError
from ocrgan_jax.scoring import Calibration
from ocrgan_jax.state import State

VALIDATION = 'validation_auroc'
PROTOCOLS = ('last', 'validation')


def open_checkpoints(workdir: Path) -> ocp.CheckpointManager:
  """Opens the checkpoints of a run, which keep the last and the best by validation."""
  by_validation = lambda metrics: metrics[VALIDATION]
  options = ocp.CheckpointManagerOptions(
    best_fn=by_validation,
    preservation_policy=preservation_policy.AnyPreservationPolicy(
      [
        preservation_policy.LatestN(1),
        preservation_policy.BestN(get_metric_fn=by_validation, n=1),
      ]
    ),
    enable_async_checkpointing=False,
  )
  return ocp.CheckpointManager((workdir / 'checkpoints').absolute(), options=options)


def save(
  manager: ocp.CheckpointManager,
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
    validation_auroc: by which the best checkpoint is told.
  """
  manager.save(
    int(state.step),
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(flax.serialization.to_state_dict(state)),
      batches=grain.checkpoint.CheckpointSave(batches),
      calibration=ocp.args.JsonSave(calibration._asdict()),
      config=ocp.args.JsonSave(config.to_dict()),
    ),
    metrics={VALIDATION: validation_auroc},
  )


def restore_training(
  manager: ocp.CheckpointManager, like: State, sharding: Sharding, batches: TrainingBatches
) -> State:
  """Restores the last checkpoint to go on training from.

  Args:
    manager: from `open_checkpoints`, with at least one checkpoint.
    like: a state, or its shapes.
    sharding: where the restored arrays shall lie.
    batches: the iterator of training, which is set to where it stood.

  Returns:
    The state.
  """
  restored = manager.restore(
    manager.latest_step(),
    args=ocp.args.Composite(
      state=ocp.args.StandardRestore(_abstract(like, sharding)),
      batches=grain.checkpoint.CheckpointRestore(batches),
    ),
  )
  return flax.serialization.from_state_dict(like, restored['state'])


def restore_scoring(
  manager: ocp.CheckpointManager, like: State, sharding: Sharding, protocol: str
) -> tuple[State, Calibration]:
  """Restores the checkpoint that a protocol names.

  Args:
    manager: from `open_checkpoints`.
    like: a state, or its shapes.
    sharding: where the restored arrays shall lie.
    protocol: 'last' or 'validation', the best by validation.

  Returns:
    The state and its calibration.

  Raises:
    InputError: if there is no checkpoint yet, or no such protocol.
  """
  if protocol not in PROTOCOLS:
    raise InputError(f'no protocol {protocol!r}; there are {", ".join(PROTOCOLS)}')
  step = manager.latest_step() if protocol == 'last' else manager.best_step()
  if step is None:
    raise InputError(f'no checkpoint in {manager.directory}; train first')
  restored = manager.restore(
    step,
    args=ocp.args.Composite(
      state=ocp.args.StandardRestore(_abstract(like, sharding)),
      calibration=ocp.args.JsonRestore(),
    ),
  )
  state = flax.serialization.from_state_dict(like, restored['state'])
  return state, Calibration(**restored['calibration'])


def _abstract(like: State, sharding: Sharding) -> dict[str, Any]:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
    flax.serialization.to_state_dict(like),
  )
