"""Trains a model: `python -m ocrgan_jax.train --config=… --workdir=…`.

Started again with the same config and folder, it goes on where it was.
"""

import contextlib
import functools
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from absl import flags
from jax.sharding import Mesh
from ml_collections import config_flags

from ocrgan_jax import checkpoint, command_line, runs, sharding
from ocrgan_jax.checkpoint import CheckpointManager
from ocrgan_jax.data import absolute, prepare_dataset
from ocrgan_jax.data.pipeline import TrainingBatches, hold_out, load_images
from ocrgan_jax.errors import InputError
from ocrgan_jax.scoring import Calibration
from ocrgan_jax.settings import build_model
from ocrgan_jax.state import OCRGAN, State, create_state
from ocrgan_jax.together import Metrics, train_together
from ocrgan_jax.validation import make_validation
from ocrgan_jax.writer import TrainingLog

# The fields of the config's section `train` that are the optimiser's.
OPTIMISER = ('learning_rate', 'weight_decay', 'beta1', 'beta2')
# Under this the release threw its discriminator away; here it is only reported.
STALLED_DISCRIMINATOR = 1e-5


class Training(NamedTuple):
  """One run that is being trained.

  Attributes:
    workdir: its folder.
    config: resolved.
    state: at `step`.
    step: the steps already done.
    num_steps: the steps that the whole run takes.
    batch_size: images a step.
    num_images: to train on.
    save_at: the steps after which to validate and save.
    batches: of training images, from `step` on.
    validate: a state → the calibration of its scores and its validation.
    checkpoints: of the run.
  """

  workdir: Path
  config: ml_collections.ConfigDict
  state: State
  step: int
  num_steps: int
  batch_size: int
  num_images: int
  save_at: set[int]
  batches: TrainingBatches
  validate: Callable[[State], tuple[Calibration, float]]
  checkpoints: CheckpointManager


def train(config: ml_collections.ConfigDict, workdir: str | Path) -> State:
  """Trains a model to the end of its config's epochs.

  Args:
    config: as in `configs/default.py`.
    workdir: the run's folder: config, metrics, TensorBoard events, checkpoints.

  Returns:
    The last state.

  Raises:
    InputError: if the config, the data or the folder cannot be used. Nothing has
      been written then.
  """
  return train_several([config], [workdir])[0]


def train_several(
  configs: Sequence[ml_collections.ConfigDict], workdirs: Sequence[str | Path]
) -> list[State]:
  """Trains several models of one shape together, each with the result that it has alone.

  Args:
    configs: they may differ in the seed and in the data.
    workdirs: a folder for each.

  Returns:
    The last state of each.

  Raises:
    InputError: as `train`; if the models or their batches are not of one shape; or if
      they were interrupted at different steps.
  """
  mesh = sharding.make_mesh()
  configs = [resolve(config) for config in configs]
  models = [build_model(config) for config in configs]
  model = models[0]
  # Two optimisers are never equal, so their settings are compared.
  optimisers = [{n: config.train[n] for n in OPTIMISER} for config in configs]
  if any(m._replace(optimizer=model.optimizer) != model for m in models) or any(
    settings != optimisers[0] for settings in optimisers
  ):
    raise InputError('models that train together must be of one shape, loss and optimiser')
  with contextlib.ExitStack() as stack:
    trainings = [
      stack.enter_context(open_training(config, Path(workdir), model, mesh))
      for config, workdir in zip(configs, workdirs, strict=True)
    ]
    if all(t.step >= t.num_steps for t in trainings):
      step = trainings[0].step
      print(f'nothing left to train: the run has come to step {step}', file=sys.stderr)
      return [t.state for t in trainings]
    for name in ('batch_size', 'step'):
      values = {getattr(t, name) for t in trainings}
      if len(values) > 1:
        raise InputError(
          f'the runs do not have one {name} ({", ".join(map(str, sorted(values)))}); '
          'train them one by one'
        )
    return train_side_by_side(trainings, model, mesh)


def train_side_by_side(trainings: Sequence[Training], model: OCRGAN, mesh: Mesh) -> list[State]:
  """Trains opened runs to their ends.

  Args:
    trainings: with one batch size, at one step.
    model: the static description that they share.
    mesh: of the devices.

  Returns:
    The last state of each.
  """
  print('compiling the training step', file=sys.stderr)
  states, step = [t.state for t in trainings], trainings[0].step
  stacked = mesh.devices.flat[0].platform != 'cpu'
  together = train_together(model, mesh, states, trainings[0].batch_size, stacked=stacked)
  joined = together.join(states)
  metrics: list[Metrics] = []
  with contextlib.ExitStack() as stack:
    logs = [open_log(t, shows=not k) for k, t in enumerate(trainings)]
    for log in logs:
      stack.callback(log.close)
    while step < max(t.num_steps for t in trainings):
      batches = [sharding.put_batch(next(t.batches), mesh) for t in trainings]
      # Run one step ahead of the device, so that it never waits, but no further.
      jax.block_until_ready(metrics)
      joined, metrics = together.step(joined, batches)
      step += 1
      for k, (t, log) in enumerate(zip(trainings, logs, strict=True)):
        if step > t.num_steps:  # at its end, while a longer run goes on
          continue
        log.add(metrics[k])
        if step % t.config.train.log_every == 0 or step in t.save_at:
          _report_faults(log, step, log.flush(step))
        if step in t.save_at:
          state = together.pick(joined, k)
          calibration, auroc = t.validate(state)
          log.write(step, {checkpoint.VALIDATION: auroc})
          checkpoint.save(t.checkpoints, state, t.batches, calibration, t.config, auroc)
          if step == t.num_steps:
            states[k] = jax.tree.map(jnp.copy, state)  # the joined states are used up by a step
      if any(step in t.save_at for t in trainings):
        for log in logs:
          log.resume_timing()
  return states


def open_log(training: Training, *, shows: bool) -> TrainingLog:
  """Opens the log of a run where it stands; `shows` is whether it has the progress bar."""
  return TrainingLog(
    training.workdir,
    step=training.step,
    num_steps=training.num_steps,
    batch_size=training.batch_size,
    num_images=training.num_images,
    writes=sharding.is_first_process(),
    shows=shows,
  )


@contextlib.contextmanager
def open_training(
  config: ml_collections.ConfigDict, workdir: Path, model: OCRGAN, mesh: Mesh
) -> Iterator[Training]:
  """Opens a run where it stands: its data, its state, its folder.

  Args:
    config: resolved.
    workdir: the run's folder.
    model: of the config.
    mesh: of the devices.

  Yields:
    The run, to be trained.

  Raises:
    InputError: as `train`.
  """
  runs.check(workdir, config)
  # On one disk the others find what the first has prepared; on disks of their own they do it.
  with sharding.first_process_first('dataset'):
    dataset = prepare_dataset(config.data_dir, config.data)
  for warning in dataset.report['warnings']:
    print(f'warning: {warning}', file=sys.stderr)
  chosen, held_out = hold_out(len(dataset.train.names), config.data.validation_share, config.seed)
  batch_size = choose_batch_size(config.train.batch_size, len(chosen), mesh.size)
  load = functools.partial(load_images, size=config.image_size, memory_gib=config.data.memory_gib)
  runs.check_training_set(workdir, dataset.train.digests)
  images = load(dataset.train, chosen=chosen)
  validation_images = load(dataset.train, chosen=held_out)

  state = new_state(model, mesh)(config.seed)
  batches = TrainingBatches(
    images,
    batch_size,
    config.seed,
    workers=config.data.workers,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  if sharding.is_first_process() and not runs.training_set(workdir):  # not begun yet
    runs.claim(workdir, config, dataset.train.digests)
  with checkpoint.open_checkpoints(workdir, keep_all=config.train.keep_checkpoints) as checkpoints:
    step = checkpoints.latest_step() or 0
    if step:
      state = checkpoint.restore_training(checkpoints, state, sharding.replicated(mesh), batches)
    num_steps = math.ceil(config.train.epochs * len(images) / batch_size)
    if step < num_steps:
      if step:
        print(f'going on from step {step}', file=sys.stderr)
      if sharding.is_first_process():
        runs.claim(workdir, config, dataset.train.digests)  # perhaps with more epochs than before
    yield Training(
      workdir=workdir,
      config=config,
      state=state,
      step=step,
      num_steps=num_steps,
      batch_size=batch_size,
      num_images=len(images),
      save_at=checkpoint_steps(config.train, len(images), batch_size),
      batches=batches,
      validate=make_validation(model, mesh, validation_images, batch_size),
      checkpoints=checkpoints,
    )


@functools.cache
def new_state(model: OCRGAN, mesh: Mesh) -> Callable[[int], State]:
  """The compiled function that draws a state from a seed."""
  return jax.jit(functools.partial(create_state, model), out_shardings=sharding.replicated(mesh))


def resolve(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """The config of a run as it is saved: free of references, its folders absolute."""
  config = ml_collections.ConfigDict(config.copy_and_resolve_references())
  config.data_dir = absolute(config.data_dir)
  config.data.test_dir = absolute(config.data.test_dir)
  config.data.prepared_dir = absolute(config.data.prepared_dir)
  return config


def choose_batch_size(wanted: int, num_images: int, num_devices: int) -> int:
  """The batch size of a run, shrunk to the training set with a warning.

  Args:
    wanted: `train.batch_size`.
    num_images: images to train on.
    num_devices: over which a batch is split.

  Returns:
    `wanted`, or the largest multiple of `num_devices` within the training set.

  Raises:
    InputError: if `wanted` is no multiple of `num_devices`, or there are fewer
      images than devices.
  """
  if wanted % num_devices:
    raise InputError(
      f'train.batch_size = {wanted} cannot be split evenly over {num_devices} devices; '
      f'use a multiple of {num_devices}'
    )
  if wanted <= num_images:
    return wanted
  size = num_images // num_devices * num_devices
  if not size:
    raise InputError(f'{num_images} training image(s) cannot be split over {num_devices} devices')
  print(
    f'warning: only {num_images} images to train on: train.batch_size is {size}, not {wanted}',
    file=sys.stderr,
  )
  return size


def checkpoint_steps(
  settings: ml_collections.ConfigDict, num_images: int, batch_size: int
) -> set[int]:
  """The steps after which to validate and save: the ends of some epochs, and the last."""
  epochs = [*range(settings.checkpoint_every, settings.epochs, settings.checkpoint_every)]
  return {math.ceil(epoch * num_images / batch_size) for epoch in [*epochs, settings.epochs]}


def _report_faults(log: TrainingLog, step: int, means: dict[str, float]) -> None:
  broken = [name for name, value in means.items() if not math.isfinite(value)]
  if broken:
    raise InputError(
      f'the loss {broken[0]} is not finite by step {step}; lower train.learning_rate'
    )
  if abs(means.get('discriminator', 1.0)) < STALLED_DISCRIMINATOR:
    log.message(f'warning: D has stalled at step {step}: its loss is under {STALLED_DISCRIMINATOR}')


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  if values.distributed or values.coordinator:
    sharding.start_processes(values.coordinator, values.num_processes, values.process_id)
  names = values.categories or [values.config.data.category]
  seeds = [int(seed) for seed in values.seeds] or [values.config.seed]
  configs, workdirs = [], []
  for category, seed in itertools.product(names, seeds):
    config = ml_collections.ConfigDict(values.config.copy_and_resolve_references())
    config.seed, config.data.category = seed, category
    configs.append(config)
    parts = ([category] if values.categories else []) + ([f'seed{seed}'] if values.seeds else [])
    workdirs.append(Path(values.workdir, *parts))
  train_several(configs, workdirs)


if __name__ == '__main__':
  config_flags.DEFINE_config_file('config', help_string='config file', lock_config=True)
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_list('seeds', [], 'several models: a seed each, in <workdir>/seed<n>')
  flags.DEFINE_list('categories', [], 'several models: a category each, in <workdir>/<category>')
  flags.DEFINE_bool('distributed', False, 'one of several processes, found by SLURM or the cloud')
  flags.DEFINE_string('coordinator', '', 'or: host:port of the first of several processes')
  flags.DEFINE_integer('num_processes', None, 'with --coordinator: how many processes')
  flags.DEFINE_integer('process_id', None, 'with --coordinator: which of them this is, from 0')
  flags.mark_flags_as_required(['config', 'workdir'])
  command_line.run(main)
