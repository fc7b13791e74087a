"""Trains a model: `python -m ocrgan_jax.train --config=… --workdir=…`.

Started again with the same config and folder, it goes on where it was.
"""

import functools
import math
import sys
from pathlib import Path

import jax
import ml_collections
import numpy as np
from absl import flags
from ml_collections import config_flags

from ocrgan_jax import checkpoint, command_line, runs, sharding
from ocrgan_jax.data import absolute, prepare_dataset
from ocrgan_jax.data.pipeline import TrainingBatches, hold_out, load_images
from ocrgan_jax.errors import InputError
from ocrgan_jax.settings import build_model
from ocrgan_jax.state import State, create_state
from ocrgan_jax.step import train_step
from ocrgan_jax.validation import make_validation
from ocrgan_jax.writer import TrainingLog

# Under this the release threw its discriminator away; here it is only reported.
STALLED_DISCRIMINATOR = 1e-5


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
  workdir, mesh = Path(workdir), sharding.make_mesh()
  config = resolve(config)
  model = build_model(config)
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

  state_sharding = sharding.replicated(mesh)
  state = jax.jit(functools.partial(create_state, model), out_shardings=state_sharding)(config.seed)
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
  checkpoints = checkpoint.open_checkpoints(workdir, keep_all=config.train.keep_checkpoints)
  step = checkpoints.latest_step() or 0
  if step:
    state = checkpoint.restore_training(checkpoints, state, state_sharding, batches)
    print(f'going on from step {step}', file=sys.stderr)
  num_steps = math.ceil(config.train.epochs * len(images) / batch_size)
  if step >= num_steps:
    print(f'nothing left to train: the run has come to step {step}', file=sys.stderr)
    checkpoints.close()
    return state
  if sharding.is_first_process():
    runs.claim(workdir, config, dataset.train.digests)  # perhaps with more epochs than before
  save_at = checkpoint_steps(config.train, len(images), batch_size)
  step_of_model = functools.partial(train_step, model=model)
  take_step = sharding.jit_over_batch(step_of_model, mesh, donate=True)
  print('compiling the training step', file=sys.stderr)
  first_batch = jax.ShapeDtypeStruct((batch_size, *[config.image_size] * 2, 3), np.uint8)
  compiled_step = take_step.lower(state, first_batch).compile()
  validate = make_validation(model, mesh, validation_images, batch_size)

  log = TrainingLog(
    workdir,
    step=step,
    num_steps=num_steps,
    batch_size=batch_size,
    num_images=len(images),
    writes=sharding.is_first_process(),
  )
  try:
    metrics: dict[str, jax.Array] = {}
    while step < num_steps:
      batch = sharding.put_batch(next(batches), mesh)
      # Run one step ahead of the device, so that it never waits, but no further.
      jax.block_until_ready(metrics)
      state, metrics = compiled_step(state, batch)
      step += 1
      log.add(metrics)
      if step % config.train.log_every == 0 or step in save_at:
        means = log.flush(step)
        _report_faults(log, step, means)
      if step in save_at:
        calibration, auroc = validate(state)
        log.write(step, {checkpoint.VALIDATION: auroc})
        checkpoint.save(checkpoints, state, batches, calibration, config, auroc)
        log.resume_timing()
  finally:
    log.close()
    checkpoints.close()
  return state


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
  train(values.config, values.workdir)


if __name__ == '__main__':
  config_flags.DEFINE_config_file('config', help_string='config file', lock_config=True)
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_bool('distributed', False, 'one of several processes, found by SLURM or the cloud')
  flags.DEFINE_string('coordinator', '', 'or: host:port of the first of several processes')
  flags.DEFINE_integer('num_processes', None, 'with --coordinator: how many processes')
  flags.DEFINE_integer('process_id', None, 'with --coordinator: which of them this is, from 0')
  flags.mark_flags_as_required(['config', 'workdir'])
  command_line.run(main)
