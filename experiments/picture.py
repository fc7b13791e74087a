"""Draws the picture in the README.

  python -m experiments.picture --workdir=runs/elpv --output=picture.png

The columns are anomalous test images from high to low scores, and a sound one. The rows are the
photograph, its reconstruction if a network makes one, and the anomaly map drawn over it; the title
is score and verdict.
"""

from pathlib import Path

import numpy as np
from absl import flags

from experiments.runner import load_tested
from ocrgan_jax.core import command_line
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.drawing import figures
from ocrgan_jax.drawing.overlay import outline, tinted

QUANTILES = (0.95, 0.8, 0.65, 0.5, 0.35)  # of the scores of anomalous images


def picture(workdir: str, output: Path) -> None:
  """Draws the picture of a run's test set.

  Args:
    workdir: the run's folder.
    output: the PNG to write.
  """
  scorer, dataset, images = load_tested(workdir)
  test = dataset.test
  scores = scorer.score(images)
  of = lambda label: np.flatnonzero(test.labels == label)
  at = lambda chosen, q: chosen[np.argsort(scores[chosen])[int(q * (len(chosen) - 1))]]
  chosen = np.array([*(at(of(ANOMALOUS), q) for q in QUANTILES), at(of(NORMAL), 0.5)])
  limit, views = scorer.map_limit(), scorer.explain(images[chosen])
  rows = ['photograph', *(['reconstruction'] if 'reconstruction' in views else []), 'found']
  columns = {}
  for k, i in enumerate(chosen):
    anomalous = scores[i] > scorer.calibration.threshold
    truth = 'sound' if test.labels[i] == NORMAL else 'defective'
    title = (
      f'{truth}, {scorer.scale(scores[[i]])[0]:.2f}:\n{"anomalous" if anomalous else "normal"}'
    )
    photograph, share = figures.to_uint8(views['input'][k]), views['map'][k] / limit
    found = tinted(photograph, share)
    if anomalous:
      outline(found, share > 1)
    made = [figures.to_uint8(views['reconstruction'][k])] if 'reconstruction' in views else []
    columns[title] = np.stack([photograph, *made, found])
  figures.sheet(output, rows, columns)


def main() -> None:
  """Runs the command."""
  picture(flags.FLAGS.workdir, Path(flags.FLAGS.output))


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('output', 'runs/picture.png', 'the PNG to write')
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
