"""Trains a model: `python -m ocrgan_jax.train --config=… --workdir=…`.

Started again with the same config and folder, it goes on where it stopped.
"""

import itertools
import sys
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags

from ocrgan_jax import command_line, sharding
from ocrgan_jax.model_group import train_several
from ocrgan_jax.settings import build_model
from ocrgan_jax.state import State
from ocrgan_jax.training_run import open_run, resolve


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
  mesh, config = sharding.make_mesh(), resolve(config)
  model = build_model(config)
  with open_run(config, Path(workdir), model, mesh) as run:
    if run.finished:
      print(f'nothing left to train: the run has come to step {run.step}', file=sys.stderr)
      return run.state
    run.tell_outlook()
    if not model.trains:
      run.save_untrained()
      return run.state
    with run.logging():
      return run.train_to(run.state, run.num_steps)


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  if values.distributed or values.coordinator:
    sharding.start_processes(values.coordinator, values.num_processes, values.process_id)
  for flag in ('categories', 'seeds'):
    command_line.no_duplicates(flag, getattr(values, flag))
  names = values.categories or [values.config.data.category]
  seeds = command_line.whole_numbers('seeds', values.seeds) or [values.config.seed]
  configs, workdirs = [], []
  for category, seed in itertools.product(names, seeds):
    config = ml_collections.ConfigDict(values.config.copy_and_resolve_references())
    config.seed, config.data.category = seed, category
    configs.append(config)
    parts = ([category] if values.categories else []) + ([f'seed{seed}'] if values.seeds else [])
    workdirs.append(Path(values.workdir, *parts))
  if len(configs) == 1:
    train(configs[0], workdirs[0])
  else:
    train_several(configs, workdirs)
  print(f'trained: {workdirs[0]}' + (f' and {len(workdirs) - 1} more' if workdirs[1:] else ''))
  print(f'next:    ocrgan evaluate --workdir={workdirs[0]}')
  print(f'or:      ocrgan predict --workdir={workdirs[0]} some/photographs')


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
