"""The command of an experiment: `python -m experiments.paper.table_1 --data_dir=…`."""

from collections.abc import Callable
from pathlib import Path

from absl import flags

from experiments.paper import experiment, tables
from experiments.paper.experiment import RECIPES, Experiment, Results
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import check_writable, write_text

Draw = Callable[[Results, Path], None]


def main(made: Experiment, draw: Draw | None = None) -> None:
  """Defines the flags of an experiment, runs it, and writes its table and picture.

  Args:
    made: the experiment.
    draw: draws its picture into a PNG file, if it has one.
  """
  flags.DEFINE_string('data_dir', None, "folder of the dataset, as the config's data_dir")
  flags.DEFINE_string('workdir', 'runs/experiments', f'folder of all runs, and of {made.name}.md')
  flags.DEFINE_enum('recipe', 'paper', [*RECIPES, 'both'], 'how the models are trained')
  flags.DEFINE_list('seeds', ['0', '1', '2', '3', '4'], 'of each run')
  flags.DEFINE_list('categories', [], "which; all of the paper's by default")
  flags.DEFINE_multi_string('override', [], 'of a field of all configs: model.width=4')
  flags.DEFINE_bool('oracle', True, 'keep all checkpoints until the best on the test set is known')
  flags.DEFINE_bool('quick', False, 'tiny models, one seed, two rows: to see that it works')
  flags.DEFINE_integer(
    'together', 1, 'models of one shape side by side, compiled once', lower_bound=1
  )
  flags.DEFINE_enum('cluster', '', ['', 'slurm', 'local'], 'a job of submitit for each run')
  flags.DEFINE_integer('devices', 1, 'accelerators of a job')
  flags.mark_flag_as_required('data_dir')
  command_line.run(lambda: _run(made, draw))


def _run(made: Experiment, draw: Draw | None) -> int:
  values = flags.FLAGS
  for flag in ('seeds', 'categories'):
    command_line.refuse_duplicates(flag, getattr(values, flag))
  if values.cluster and values.together > 1:
    raise InputError('--cluster makes a job of each run: leave out --together')
  path = Path(values.workdir, made.name)
  check_writable(path.with_suffix('.md'), '--workdir')
  results = experiment.run(
    made,
    Path(values.workdir),
    values.data_dir,
    recipes=[*RECIPES] if values.recipe == 'both' else [values.recipe],
    seeds=command_line.parse_ints('seeds', values.seeds),
    categories=values.categories,
    overrides=values.override,
    oracle=values.oracle,
    quick=values.quick,
    together=values.together,
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
