"""Scores photographs: `python -m ocrgan_jax.predict --workdir=… PATH…`.

A path is an image, a folder (searched recursively) or a glob pattern. Images are streamed; only
their rows stay in memory. The table is CSV, or JSON lines if --output ends with .jsonl. --maps
writes to <output>_maps each photograph with its anomaly map and verdict, and an index.html that
shows them, the most anomalous first.

--watch scores the images in the folders, then waits for new ones. Each row is written at once.

The exit status is 0, or 1 after an error. With --fail-on-anomaly it is 3 if an image could not be
read, else 2 if an image is anomalous.
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
    keep_watching=values.watch,
  )
  if not values['fail-on-anomaly'].value:
    return 0
  return UNREADABLE_STATUS if unreadable else ANOMALY_STATUS if anomalous else 0


if __name__ == '__main__':
  command_line.define_run_flags()
  flags.DEFINE_string('output', 'scores.csv', 'file for the table, .csv or .jsonl')
  flags.DEFINE_float(
    'threshold', None, "score above which an image is anomalous; by default the model's threshold"
  )
  flags.DEFINE_bool(
    'maps', False, 'write the photographs with anomaly maps and verdicts to <output>_maps'
  )
  flags.DEFINE_bool(
    'watch', False, 'keep scoring images that are added to the folders; Ctrl-C stops'
  )
  flags.DEFINE_bool(
    'fail-on-anomaly',
    False,
    f'exit with {ANOMALY_STATUS} if an image is anomalous, with {UNREADABLE_STATUS} if an image '
    'could not be read',
  )
  command_line.run(main, takes_arguments=True)
