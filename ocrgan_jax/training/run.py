"""A run in training: its data, state, log and checkpoints."""

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled

from ocrgan_jax.core import sharding
from ocrgan_jax.core.checks import read
from ocrgan_jax.core.files import absolute
from ocrgan_jax.core.platforms import dtype_of_computation
from ocrgan_jax.core.signals import Interrupted, Interruption, defer_signals
from ocrgan_jax.data.batches import TrainingBatches
from ocrgan_jax.data.groups import with_absolute_table
from ocrgan_jax.data.images import tile_indices
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import jit_explain_step
from ocrgan_jax.model.state import State, create_state
from ocrgan_jax.optimization.run_length import RunLength, choose_batch_size
from ocrgan_jax.runs import checkpoint, run_folder
from ocrgan_jax.runs.ownership import LOCK, owned
from ocrgan_jax.runs.thumbnails import save_thumbnails
from ocrgan_jax.runs.training_images import TrainingImages, load_training_images
from ocrgan_jax.scoring.calibration import Calibration, map_limit
from ocrgan_jax.training import plan, snapshots
from ocrgan_jax.training.divergence import report_stalled, stop_if_not_finite
from ocrgan_jax.training.image_size import choose_image_size
from ocrgan_jax.training.log import TrainingLog, read_lines
from ocrgan_jax.training.step import train_step
from ocrgan_jax.training.validation import Validator

SIGNAL_SECONDS = 0.5  # wait this long for a signal that has already reached another process


class TrainingRun:
  """A run in training. Open one with `open_run`.

  Attributes:
    state: the state from which training starts or resumes.
    step: number of steps already done.
    num_steps: length of the run in steps.
    batch_size: images per step, over all devices.
    batches: iterator over batches of training images, from `step` on.
    save_at: the steps after which to validate and save.
    log: the log of losses, open inside `logging`.
  """

  log: TrainingLog

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    workdir: Path,
    model: OCRGAN,
    mesh: Mesh,
    data: TrainingImages,
    batch_size: int,
    checkpoints: checkpoint.CheckpointManager,
  ):
    """Restores the run from its last checkpoint, or starts it; see `open_run`."""
    images, held_out = data.normal.images, data.normal.held_out
    schedule, count = read(RunLength, config.train), len(images)
    self.batch_size = batch_size
    self.num_steps = schedule.num_steps(count, self.batch_size)
    self.batches = TrainingBatches(
      images,
      self.batch_size,
      config.seed,
      workers=config.data.workers,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
    new = new_state(model, mesh)(config.seed)
    last = checkpoint.restore_training(checkpoints, new, sharding.replicated(mesh), self.batches)
    self.state, self._resumed = new if last is None else last, last is not None
    self.step = int(self.state.step)
    if last is None and read_lines(workdir / 'metrics.jsonl'):
      print(f'warning: no checkpoint is left in {workdir}: training starts over', file=sys.stderr)
    self._config, self._workdir, self._checkpoints = config, workdir, checkpoints
    self._mesh, self._model, self._data = mesh, model, data
    # Counts photographs, not tiles, because the threshold is set from scores of photographs.
    self._num_held_out = len(tile_indices(held_out))
    self._num_for_threshold = data.normal.num_held_out_groups
    if model.score.heads_on:
      self._num_for_threshold += len(np.unique(data.normal.groups))
    self._num_images, self._log_every = count, schedule.log_every
    self.save_at = schedule.checkpoint_steps(count, self.batch_size)
    self._validate = Validator(model, mesh, data.normal, self.batch_size)

  @property
  def finished(self) -> bool:
    """Whether there is nothing left to train."""
    return self._resumed and self.step >= self.num_steps

  @contextlib.contextmanager
  def logging(self, *, shows_progress: bool = True) -> Iterator[None]:
    """Opens the log at the current step."""
    if self.step:
      print(f'resuming from step {self.step}', file=sys.stderr)
    first = sharding.is_first_process()
    self._prints_time = shows_progress and first
    self.log = TrainingLog(
      self._workdir,
      step=self.step,
      num_steps=self.num_steps,
      batch_size=self.batch_size,
      num_images=self._num_images,
      writes=first,
      shows_progress=shows_progress,
    )
    self.log.text('config', json.dumps(self._config.to_dict(), indent=2))
    try:
      yield
    finally:
      self.log.close()

  def print_plan(self) -> None:
    """Prints the device and the work to do, and warns if the result will be weak."""
    if not sharding.is_first_process():
      return
    line = plan.describe(
      self._mesh,
      self.state,
      num_steps=self.num_steps,
      batch_size=self.batch_size,
      num_images=self._num_images,
      num_held_out=self._num_held_out,
      num_held_out_groups=self._data.normal.num_held_out_groups,
      fits_all=bool(self._model.score.heads_on),
      dtype=self._config.model.dtype,
    )
    print(line, file=sys.stderr)
    for warning in plan.warnings_for(self.num_steps, self._num_for_threshold):
      print(f'warning: {warning}', file=sys.stderr)

  def log_step(self, step: int, metrics: dict[str, jax.Array]) -> None:
    """Logs the losses of a step; writes a line if one is due.

    Args:
      step: that was done.
      metrics: its losses.

    Raises:
      InputError: if a loss since the last line is not finite.
    """
    self.log.add(metrics)
    if step == self.step + 1:
      self._since = time.perf_counter()
    if self._prints_time and step == self.step + 1 + plan.MEASURED_STEPS:
      each = (time.perf_counter() - self._since) / plan.MEASURED_STEPS
      self.log.message(plan.describe_time(each * (self.num_steps - step), self._mesh))
    if step % self._log_every == 0 or step in self.save_at:
      self._flush(step)

  def train_to(self, state: State, until: int) -> State:
    """Trains this run alone, inside `logging`.

    Args:
      state: the current state; its buffers are donated.
      until: the last step to do.

    Returns:
      The state after that step.
    """
    with self.log.untimed():
      train_one = compile_step(self._model, self._mesh, state, self.batch_size)
      state = sharding.in_layout(train_one, state)
    metrics: dict[str, jax.Array] = {}
    with defer_signals() as interruption:
      for step in range(self.step + 1, until + 1):
        images = self.next_batch(interruption)
        if images is None:
          if step - 1 > self.step:
            self.save_interrupted(step - 1, state)
          raise Interrupted(interruption.number, interruption.stopped_message(step - 1))
        batch = sharding.put_batch(images, self._mesh)
        # Stay one step ahead of the device so that it never waits, but no further.
        jax.block_until_ready(metrics)
        state, metrics = train_one(state, batch)
        self.log_step(step, metrics)
        if step in self.save_at:
          with self.log.untimed():
            self.validate_and_save(state)
        if step < self.num_steps and interruption.should_stop(step):
          self.save_interrupted(step, state)
          raise Interrupted(interruption.number, interruption.stopped_message(step))
    self._flush(until)
    return state

  def next_batch(self, interruption: Interruption) -> np.ndarray | None:
    """Returns the next batch; None if the signal that stops training also killed the workers."""
    try:
      return next(self.batches)
    except RuntimeError:
      time.sleep(SIGNAL_SECONDS)
      if not interruption.number:
        raise
      return None

  def save_interrupted(self, step: int, state: State) -> None:
    """Saves a state for resuming only, without validation, unless it was saved just now."""
    if step not in self.save_at:
      self._flush(step)
      checkpoint.save_interrupted(self._checkpoints, state, self.batches)

  def _flush(self, step: int) -> None:
    """Writes a line of the log and checks the losses.

    Raises:
      InputError: if a loss since the last line is not finite.
    """
    window = self.log.flush(step)
    report_stalled(self.log, step, window)
    stop_if_not_finite(self._workdir, step, window, self.batches, self._data)

  def validate_and_save(self, state: State) -> None:
    """Validates a state on the held-out images and saves it as a checkpoint."""
    calibration, auroc = self._validate(state)
    self.log.write(int(state.step), {checkpoint.VALIDATION: auroc})
    checkpoint.save(self._checkpoints, state, self.batches, calibration, self._config, auroc)
    if self._config.train.pictures and self._model.trains and jax.process_count() == 1:
      self._draw(state, calibration)

  def _draw(self, state: State, calibration: Calibration) -> None:
    """Shows reconstructions and maps of a few held-out images and forged copies in TensorBoard."""
    count = min(snapshots.COUNT, len(self._data.normal.held_out))
    images = self._data.normal.held_out[np.arange(count)]
    parts = {'held_out': images}
    if not self._model.forgery.is_off:
      parts['forged'] = np.asarray(_forging(self._model)(state, images))
    explain = jit_explain_step(self._model, self._mesh)
    limit = map_limit(calibration, self._model.score, calibration.limit)
    for name, part in parts.items():
      padding = [(0, self.batch_size - count)] + [(0, 0)] * 3
      batch = sharding.put_batch(np.pad(part, padding), self._mesh)
      views = explain(state, calibration.reference, batch)
      views = {view: np.asarray(x)[:count] for view, x in views.items()}
      self.log.picture(int(state.step), name, snapshots.snapshot(views, limit))

  def save_untrained(self) -> None:
    """Finishes a run without networks: validates and saves its initial state."""
    with self.logging():
      self.validate_and_save(self.state)


@contextlib.contextmanager
def open_run(
  config: ml_collections.ConfigDict, workdir: Path, model: OCRGAN, mesh: Mesh
) -> Iterator[TrainingRun]:
  """Opens a run at its last checkpoint, or starts it.

  Args:
    config: resolved.
    workdir: the run's folder.
    model: of the config.
    mesh: of the devices.

  Yields:
    The run, ready for training.

  Raises:
    InputError: if the data or the folder cannot be used; nothing is written then.
    InUse: if another process is training the run.
  """
  run_folder.check(workdir, config)
  with contextlib.ExitStack() as stack:
    writes = sharding.is_first_process()
    sharding.in_first_process(lambda: stack.enter_context(owned(workdir / LOCK)))
    run_folder.check(workdir, config)  # another run may have started there in the meantime
    data = load_training_images(config, workdir)
    batch_size = choose_batch_size(config.train.batch_size, len(data.normal.images), mesh.size)
    if writes and not run_folder.training_set(workdir):  # a new run
      run_folder.write_run_files(workdir, config, data.digests, data.shared, data.framing)
    if writes and config.data.thumbnails:
      save_thumbnails(workdir, data.photographs)
    checkpoints = stack.enter_context(
      checkpoint.open_checkpoints(workdir, keep_all=config.train.keep_checkpoints)
    )
    run = TrainingRun(config, workdir, model, mesh, data, batch_size, checkpoints)
    if writes and not run.finished:  # the config may now have more epochs
      run_folder.write_run_files(workdir, config, data.digests, data.shared, data.framing)
    yield run


def compile_step(model: OCRGAN, mesh: Mesh, state: State, batch_size: int) -> Compiled:
  """Compiles the training step, (state, batch) → (state, losses). See `sharding.in_layout`."""
  print('compiling the training step', file=sys.stderr)
  step = sharding.jit_over_batch(functools.partial(train_step, model=model), mesh, donate=True)
  shape = batch_size, model.image_size, model.image_size, model.channels
  return step.lower(sharding.shapes_of(state), jax.ShapeDtypeStruct(shape, np.uint8)).compile()


@functools.cache
def _forging(model: OCRGAN) -> Callable[..., jax.Array]:
  """Returns the compiled function (state, images) → forged images."""
  return jax.jit(functools.partial(forged_step, model=model))


@functools.cache
def new_state(model: OCRGAN, mesh: Mesh) -> Callable[[int], State]:
  """Returns the compiled function that initialises a state from a seed."""
  return jax.jit(
    functools.partial(create_state, model),
    out_shardings=sharding.replicated(mesh),
    # It runs only once. The default level, 3, gives the same bits but compiles more slowly.
    compiler_options={'xla_backend_optimization_level': 1},
  )


def resolve(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns a config as a run saves it: with nothing relative and nothing left to choose."""
  config = ml_collections.ConfigDict(config.copy_and_resolve_references())
  config.data_dir = absolute(config.data_dir)
  config.data.test_dir = absolute(config.data.test_dir)
  config.data.prepared_dir = absolute(config.data.prepared_dir)
  config.data.groups = with_absolute_table(config.data.groups)
  if config.data.region != 'auto':
    config.data.region = absolute(config.data.region)
  config.image_size = choose_image_size(config)
  config.model.dtype = dtype_of_computation(config.model.dtype)
  return config
