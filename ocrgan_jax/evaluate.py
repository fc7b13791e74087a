"""Evaluates a trained model on its test set: `python -m ocrgan_jax.evaluate --workdir=…`.

If the folder holds several runs (from --seeds or --categories), it evaluates all of them and
writes a table.
"""

import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.reports.evaluation import evaluate, evaluate_several, output_folder
from ocrgan_jax.reports.summary import summary_text
from ocrgan_jax.runs.run_folder import runs_in

OPTIONS = ('protocol', 'data_dir', 'test_dir', 'pictures', 'with_bands')

if __name__ == 'ocrgan_jax.evaluate':  # importing it would shadow `ocrgan_jax.evaluate`
  raise ImportError('this module is a command; in Python, use `from ocrgan_jax import evaluate`')


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  workdir, score = Path(values.workdir), config_flags.get_override_values(values['score'])
  options: dict[str, Any] = {name: values[name].value for name in OPTIONS}
  folders = [] if (workdir / 'config.json').exists() else runs_in(workdir)
  if folders:
    if values.output or score:
      raise InputError(
        f'{workdir} holds {len(folders)} runs, but --output and --score need a single run; '
        'give the folder of one'
      )
    print(evaluate_several(workdir, folders, **options))
    print(f'results: {workdir / "table.html"}')
    return
  print(summary_text(evaluate(workdir, score=score, output=values.output, **options)))
  folder = output_folder(workdir, values.protocol, values.output)
  print(f'results: {folder / ("report.html" if values.pictures else "metrics.json")}')
  sys.stdout.flush()


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last', 'validation' or 'oracle'")
  flags.DEFINE_string('data_dir', '', 'folder of the dataset, if it has moved since training')
  flags.DEFINE_string('test_dir', '', 'folder of test images, for the dataset `folder`')
  flags.DEFINE_string('output', '', "folder for the results; by default the run's folder")
  flags.DEFINE_bool('pictures', True, 'draw figures and write the report')
  flags.DEFINE_bool('with_bands', False, 'also fit the recipe bands, to compare with')
  command_line.define_score_flags()
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
