"""Trains the paper's networks: photographs → steps → validation → save."""

import contextlib
import dataclasses
import functools
import json
import sys
import time
from pathlib import Path

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled

from ocrgan_jax.core import sharding
from ocrgan_jax.core.checks import read
from ocrgan_jax.core.signals import Interrupted, Interruption, defer_signals
from ocrgan_jax.data.batches import TrainingBatches
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import view_step
from ocrgan_jax.model.state import State, create_state, initial_state
from ocrgan_jax.optimization.run_length import RunLength, choose_batch_size
from ocrgan_jax.runs import checkpoint, run_folder
from ocrgan_jax.runs.training_images import TrainingImages, write_run
from ocrgan_jax.scoring.calibration import map_limit
from ocrgan_jax.training import plan, snapshots
from ocrgan_jax.training.divergence import report_stalled, stop_if_not_finite
from ocrgan_jax.training.log import TrainingLog, read_lines
from ocrgan_jax.training.step import train_step
from ocrgan_jax.training.validation import Validation, validate

SIGNAL_SECONDS = 0.5  # wait this long for a signal that has already reached another process


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """What the parts of the loop share.

  Attributes:
    config: resolved.
    workdir: the run's folder.
    model: of the config.
    mesh: of the devices.
    data: the images.
    batches: iterator over batches of training images.
    batch_size: images per step, over all devices.
    num_steps: length of the run.
    save_at: the steps after which to validate and save.
    checkpoints: of the run.
    log: of the run.
  """

  config: ml_collections.ConfigDict
  workdir: Path
  model: OCRGAN
  mesh: Mesh
  data: TrainingImages
  batches: TrainingBatches
  batch_size: int
  num_steps: int
  save_at: set[int]
  checkpoints: checkpoint.CheckpointManager
  log: TrainingLog


def train_networks(
  config: ml_collections.ConfigDict, workdir: Path, model: OCRGAN, mesh: Mesh, data: TrainingImages
) -> State:
  """Trains a run from its last checkpoint, or from its start.

  Args:
    config: resolved.
    workdir: the run's folder, owned by this process.
    model: of the config.
    mesh: of the devices.
    data: the images.

  Returns:
    The last state.

  Raises:
    InputError: if a loss or a score is not finite, or the disk is full.
    Interrupted: by a signal; the last step is saved.
  """
  length, images = read(RunLength, config.train), data.normal.images
  batch_size = choose_batch_size(config.train.batch_size, len(images), mesh.size)
  num_steps = length.num_steps(len(images), batch_size)
  batches = TrainingBatches(
    images,
    batch_size,
    config.seed,
    workers=config.data.workers,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  if not run_folder.training_set(workdir):  # a new run: whatever ends it, it can be started again
    write_run(workdir, config, data)
  with contextlib.ExitStack() as stack:
    checkpoints = stack.enter_context(
      checkpoint.open_checkpoints(workdir, keep_all=config.train.keep_checkpoints)
    )
    new = jax.device_put(initial_state(model, config.seed), sharding.replicated(mesh))
    state = checkpoint.restore_training(checkpoints, new, sharding.replicated(mesh), batches)
    if state is None:
      state = new
      if read_lines(workdir / 'metrics.jsonl'):
        print(f'warning: no checkpoint is left in {workdir}: training starts over', file=sys.stderr)
    elif int(state.step) >= num_steps:
      print(f'nothing left to train: the run is at step {int(state.step)}', file=sys.stderr)
      return state
    if int(state.step):
      print(f'resuming from step {int(state.step)}', file=sys.stderr)
    write_run(workdir, config, data)  # the config may now have more epochs
    if sharding.is_first_process():
      dtype = config.model.dtype
      plan.print_plan(
        mesh, state, data.normal, num_steps=num_steps, batch_size=batch_size, dtype=dtype
      )
    train_one = compile_step(model, mesh, batch_size)
    log = TrainingLog(
      workdir,
      step=int(state.step),
      num_steps=num_steps,
      batch_size=batch_size,
      num_images=len(images),
      writes=sharding.is_first_process(),
    )
    stack.callback(log.close)
    log.text('config', json.dumps(config.to_dict(), indent=2))
    run = Run(
      config=config,
      workdir=workdir,
      model=model,
      mesh=mesh,
      data=data,
      batches=batches,
      batch_size=batch_size,
      num_steps=num_steps,
      save_at=length.checkpoint_steps(len(images), batch_size),
      checkpoints=checkpoints,
      log=log,
    )
    return _loop(run, train_one, sharding.in_layout(train_one, state))


def _loop(run: Run, train_one: Compiled, state: State) -> State:
  start = int(state.step)
  metrics: dict[str, jax.Array] = {}
  since = 0.0
  with defer_signals() as interruption:
    for step in range(start + 1, run.num_steps + 1):
      images = _next_batch(run.batches, interruption)
      if images is None:
        if step - 1 > start:
          _save_interrupted(run, step - 1, state)
        raise Interrupted(interruption.number, interruption.stopped_message(step - 1))
      batch = sharding.put_batch(images, run.mesh)
      # Stay one step ahead of the device so that it never waits, but no further.
      jax.block_until_ready(metrics)
      state, metrics = train_one(state, batch)
      run.log.add(metrics)
      if step == start + 1:
        since = time.perf_counter()
      if step == start + 1 + plan.MEASURED_STEPS:
        each = (time.perf_counter() - since) / plan.MEASURED_STEPS
        run.log.message(plan.describe_time(each * (run.num_steps - step), run.mesh))
      if step % run.config.train.log_every == 0 or step in run.save_at:
        _write_log(run, step)
      if step in run.save_at:
        with run.log.untimed():
          _validate_and_save(run, state)
      if step < run.num_steps and interruption.should_stop(step):
        _save_interrupted(run, step, state)
        raise Interrupted(interruption.number, interruption.stopped_message(step))
  return state


@functools.lru_cache(maxsize=4)
def compile_step(model: OCRGAN, mesh: Mesh, batch_size: int) -> Compiled:
  """Compiles the training step, (state, batch) → (state, losses); runs of equal models share it.

  See `sharding.in_layout` for the state that it takes.
  """
  print('compiling the training step', file=sys.stderr)
  step = sharding.jit_over_batch(train_step, mesh, donate=True, model=model)
  state = jax.eval_shape(functools.partial(create_state, model), 0)
  shape = batch_size, model.image_size, model.image_size, model.channels
  return step.lower(state, jax.ShapeDtypeStruct(shape, np.uint8)).compile()


def _next_batch(batches: TrainingBatches, interruption: Interruption) -> np.ndarray | None:
  """Returns the next batch; None if the signal that stops training also killed the workers."""
  try:
    return next(batches)
  except RuntimeError:
    time.sleep(SIGNAL_SECONDS)
    if not interruption.number:
      raise
    return None


def _write_log(run: Run, step: int) -> None:
  """Writes a line of the log and checks the losses.

  Raises:
    InputError: if a loss since the last line is not finite.
  """
  window = run.log.flush(step)
  report_stalled(run.log, step, window)
  stop_if_not_finite(run.workdir, step, window, run.batches, run.data)


def _save_interrupted(run: Run, step: int, state: State) -> None:
  """Saves a state for resuming only, without validation, unless it was saved just now."""
  if step not in run.save_at:
    _write_log(run, step)
    checkpoint.save_interrupted(run.checkpoints, state, run.batches)


def _validate_and_save(run: Run, state: State) -> None:
  """Validates a state on the held-out images and saves it as a checkpoint."""
  validation = validate(run.model, run.mesh, run.data.normal, run.batch_size, state)
  run.log.write(int(state.step), {checkpoint.VALIDATION: validation.auroc})
  checkpoint.save(
    run.checkpoints,
    validation.trained,
    validation.calibration,
    run.config,
    batches=run.batches,
    validation_auroc=validation.auroc,
  )
  if run.config.train.pictures and jax.process_count() == 1:
    _show_pictures(run, validation)


def _show_pictures(run: Run, validation: Validation) -> None:
  """Shows reconstructions and maps of a few held-out images and forged copies in TensorBoard."""
  held_out, state = run.data.normal.held_out, validation.trained.state
  count = min(snapshots.COUNT, len(held_out))
  images = np.pad(held_out[np.arange(count)], [(0, run.batch_size - count)] + [(0, 0)] * 3)
  parts = {'held_out': sharding.put_batch(images, run.mesh)}
  if not run.model.forgery.is_off:
    forge = sharding.jit_over_batch(forged_step, run.mesh, makes_batch=True, model=run.model)
    parts['forged'] = forge(state, parts['held_out'])
  view = sharding.jit_over_batch(view_step, run.mesh, model=run.model)
  limit = map_limit(validation.calibration, run.model.score, validation.calibration.limit)
  for name, batch in parts.items():
    views = jax.device_get(view(validation.trained, batch))
    views = {view: x[:count] for view, x in views.items()}
    run.log.picture(int(state.step), name, snapshots.snapshot(views, limit))
