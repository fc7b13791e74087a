"""Scores any photographs: `python -m ocrgan_jax.predict --workdir=… PATH…`.

A path is an image, a folder (searched recursively) or a pattern. Images are streamed,
so any number of them takes the same memory. The table is written as CSV or, to a name
that ends with .jsonl, as JSON lines. With --maps the folder <output>_maps gets each
photograph with its anomaly map and verdict, and index.html, which shows them from the
most to the least anomalous one.

With --watch it scores what is in the folders and what is put into them later, and writes each row
at once.

The exit status is 0, 1 for errors, and with --fail-on-anomaly 2 if any image is
anomalous and 3 if any image could not be read.
"""

from pathlib import Path

from absl import flags

from ocrgan_jax.core import command_line
from ocrgan_jax.inference.predict_files import predict_files

ANOMALY_STATUS, UNREADABLE_STATUS = 2, 3


def main(arguments: list[str]) -> int:
  """Runs the command; returns its exit status."""
  values = flags.FLAGS
  anomalous, unreadable = predict_files(
    values.workdir,
    arguments,
    Path(values.output),
    protocol=values.protocol,
    threshold=values.threshold,
    maps=values.maps,
    watches=values.watch,
  )
  if not values['fail-on-anomaly'].value:
    return 0
  return UNREADABLE_STATUS if unreadable else ANOMALY_STATUS if anomalous else 0


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.DEFINE_string('output', 'scores.csv', 'file for the table, .csv or .jsonl')
  flags.DEFINE_float(
    'threshold', None, "score above which an image is anomalous, by default the model's"
  )
  flags.DEFINE_bool('maps', False, 'draw maps and verdicts on the photographs, into <output>_maps')
  flags.DEFINE_bool('watch', False, 'go on with what is put into the folders, until Ctrl-C')
  flags.DEFINE_bool(
    'fail-on-anomaly',
    False,
    f'exit with {ANOMALY_STATUS} if any image is anomalous, with {UNREADABLE_STATUS} if any '
    'could not be read',
  )
  flags.mark_flag_as_required('workdir')
  command_line.run(main, takes_arguments=True)
