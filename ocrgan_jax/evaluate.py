"""Evaluates a trained model on its test set: `python -m ocrgan_jax.evaluate --workdir=…`.

If the folder holds several runs (from --seeds or --categories), it evaluates all of them and
writes a table.
"""

import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.reports.evaluation import evaluate, evaluate_several, output_folder
from ocrgan_jax.reports.several_runs import run_folders
from ocrgan_jax.reports.summary import summary_text

if __name__ == 'ocrgan_jax.evaluate':  # importing it would shadow `ocrgan_jax.evaluate`
  raise ImportError('this module is a command; in Python, use `from ocrgan_jax import evaluate`')


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  workdir = Path(values.workdir)
  folders = [] if (workdir / 'config.json').exists() else run_folders(workdir)
  if folders:
    if values.output or config_flags.get_override_values(values['score']):
      raise InputError(
        f'{workdir} holds {len(folders)} runs, but --output and --score need a single run; '
        'give the folder of one'
      )
    options = {'data_dir': values.data_dir, 'test_dir': values.test_dir}
    print(evaluate_several(workdir, folders, values.protocol, pictures=values.pictures, **options))
    print(f'results: {workdir / "table.html"}')
    return
  metrics = evaluate(
    values.workdir,
    protocol=values.protocol,
    data_dir=values.data_dir,
    test_dir=values.test_dir,
    score=config_flags.get_override_values(values['score']),
    output=values.output,
    pictures=values.pictures,
  )
  print(summary_text(metrics))
  folder = output_folder(values.workdir, values.protocol, values.output)
  print(f'results: {folder / ("report.html" if values.pictures else "metrics.json")}')
  sys.stdout.flush()


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last', 'validation' or 'oracle'")
  flags.DEFINE_string('data_dir', '', 'folder of the dataset, if it has moved since training')
  flags.DEFINE_string('test_dir', '', 'folder of test images, for the dataset `folder`')
  flags.DEFINE_string('output', '', "folder for the results; by default the run's folder")
  flags.DEFINE_bool('pictures', True, 'draw figures and write the report')
  command_line.define_score_flags()
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
