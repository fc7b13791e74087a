"""Trains a model: `python -m ocrgan_jax.train --config=… --workdir=…`.

To resume an interrupted run, repeat the command with the same config and folder.
"""

import itertools
import shlex
import sys
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags

from ocrgan_jax.core import command_line, sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.training.train import train

if __name__ == 'ocrgan_jax.train':  # importing it would shadow the function `ocrgan_jax.train`
  raise ImportError('this module is a command; in Python, use `from ocrgan_jax import train`')


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  if values.distributed or values.coordinator:
    sharding.start_processes(values.coordinator, values.num_processes, values.process_id)
  for flag in ('categories', 'seeds'):
    command_line.refuse_duplicates(flag, getattr(values, flag))
  names = values.categories or [values.config.data.category]
  seeds = command_line.parse_ints('seeds', values.seeds) or [values.config.seed]
  runs = {}
  for category, seed in itertools.product(names, seeds):
    config = ml_collections.ConfigDict(values.config.copy_and_resolve_references())
    config.seed, config.data.category = seed, category
    parts = ([category] if values.categories else []) + ([f'seed{seed}'] if values.seeds else [])
    runs[Path(values.workdir, *parts)] = config
  train_one_by_one(runs)
  first = next(iter(runs))
  print(f'trained: {first}' + (f' and {len(runs) - 1} more' if len(runs) > 1 else ''))
  workdir = shlex.quote(str(first))  # to be copied into a shell
  print(f'next:    ocrgan evaluate --workdir={workdir}')
  print(f'or:      ocrgan predict --workdir={workdir} some/photographs')


def train_one_by_one(runs: dict[Path, ml_collections.ConfigDict]) -> None:
  """Trains several runs; one that fails does not stop the others.

  Args:
    runs: folder → config.

  Raises:
    InputError: at the end, if a run failed.
  """
  failed = []
  for workdir, config in runs.items():
    try:
      train(config, workdir)
    except InputError as error:
      if len(runs) == 1:
        raise
      failed.append(f'{workdir}: {error}')
      print(f'error: {failed[-1]}; the other runs go on', file=sys.stderr)
  if failed:
    raise InputError('; '.join(failed))


if __name__ == '__main__':
  config_flags.DEFINE_config_file('config', help_string='config file', lock_config=True)
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_list('seeds', [], 'train one model per seed, in <workdir>/seed<n>')
  flags.DEFINE_list('categories', [], 'train one model per category, in <workdir>/<category>')
  flags.DEFINE_bool(
    'distributed', False, 'join the other processes of this job, found through SLURM or the cloud'
  )
  flags.DEFINE_string('coordinator', '', 'without --distributed: host:port of process 0')
  flags.DEFINE_integer('num_processes', None, 'with --coordinator: number of processes')
  flags.DEFINE_integer('process_id', None, 'with --coordinator: index of this process, from 0')
  flags.mark_flags_as_required(['config', 'workdir'])
  command_line.run(main)
