"""The command line that all tables and most figures share.

python -m experiments.paper.table_1 --data_dir=…/mvtec_ad
"""

from collections.abc import Callable
from pathlib import Path

from absl import flags

from experiments.configs import parse_overrides
from experiments.paper import tables
from experiments.paper.experiment import Experiment, Results, run
from ocrgan_jax.core import command_line
from ocrgan_jax.core.files import check_writable, write_text

Draw = Callable[[Results, Path], None]


def main(experiment: Experiment, draw: Draw | None = None) -> None:
  """Defines the flags of an experiment, runs it, and writes its table and picture.

  Args:
    experiment: the experiment.
    draw: draws its picture to a PNG file, if it has one.
  """
  name = experiment.name
  flags.DEFINE_string('data_dir', None, "the dataset's folder, as in the config's data_dir")
  flags.DEFINE_string('workdir', 'runs/experiments', f'folder for all runs and for {name}.md')
  flags.DEFINE_list('seeds', ['0', '1', '2', '3', '4'], 'seeds of each run')
  flags.DEFINE_list('categories', [], "categories to run; by default all of the paper's")
  flags.DEFINE_multi_string('override', [], 'change a field of all configs: model.width=4')
  flags.DEFINE_bool('oracle', True, 'keep all checkpoints until the best on the test set is known')
  flags.DEFINE_bool('quick', False, 'check that it works: tiny models, one seed, two rows')
  flags.DEFINE_enum('cluster', '', ['', 'slurm', 'local'], 'submit each run as a job (submitit)')
  flags.DEFINE_integer('devices', 1, 'accelerators of each job')
  flags.mark_flag_as_required('data_dir')
  command_line.run(lambda: _run(experiment, draw))


def _run(experiment: Experiment, draw: Draw | None) -> int:
  values = flags.FLAGS
  for flag in ('seeds', 'categories'):
    command_line.refuse_duplicates(flag, getattr(values, flag))
  path = Path(values.workdir, experiment.name)
  check_writable(path.with_suffix('.md'), '--workdir')
  results = run(
    experiment,
    Path(values.workdir),
    values.data_dir,
    seeds=command_line.parse_ints('seeds', values.seeds),
    categories=values.categories,
    overrides=parse_overrides(values.override),
    oracle=values.oracle,
    quick=values.quick,
    cluster=values.cluster,
    devices=values.devices,
  )
  text = tables.markdown(results)
  write_text(path.with_suffix('.md'), text)
  write_text(path.with_suffix('.csv'), tables.table_csv(results))
  print(text)
  if draw:
    draw(results, path.with_suffix('.png'))
    print(f'picture: {path.with_suffix(".png")}')
  return int(any('error' in outcome for outcome in results.outcomes.values()))
