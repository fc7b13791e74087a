"""Trains a model: `python -m ocrgan_jax.train --config=… --workdir=…`.

Started again with the same config and folder, it goes on where it stopped.
"""

import itertools
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags

from ocrgan_jax.core import command_line, sharding
from ocrgan_jax.training.group import train_several
from ocrgan_jax.training.train import train

if __name__ == 'ocrgan_jax.train':  # it would hide the function of that name
  raise ImportError('this is a command; in Python use `from ocrgan_jax import train`')


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  if values.distributed or values.coordinator:
    sharding.start_processes(values.coordinator, values.num_processes, values.process_id)
  for flag in ('categories', 'seeds'):
    command_line.refuse_duplicates(flag, getattr(values, flag))
  names = values.categories or [values.config.data.category]
  seeds = command_line.parse_ints('seeds', values.seeds) or [values.config.seed]
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
