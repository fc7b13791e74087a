"""Draws the picture in the README.

  python -m experiments.picture --workdir=runs/elpv --output=picture.png

The columns are anomalous test images from high to low scores, and a sound one. The rows are the
photograph, its reconstruction if a network makes one, and the anomaly map drawn over it; the title
is score and verdict.
"""

from pathlib import Path

import numpy as np
from absl import flags

from experiments.tested import load_tested
from ocrgan_jax.core import command_line
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.drawing import figures
from ocrgan_jax.drawing.overlay import outline, tinted

QUANTILES = (0.95, 0.8, 0.65, 0.5, 0.35)  # of the scores of anomalous images


def choose(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """The test images to show: anomalous ones at QUANTILES of their scores, and a sound one."""

  def at(label: int, quantile: float) -> int:
    own = np.flatnonzero(labels == label)
    return int(own[np.argsort(scores[own])[int(quantile * (len(own) - 1))]])

  return np.array([*(at(ANOMALOUS, q) for q in QUANTILES), at(NORMAL, 0.5)])


def picture(workdir: str, output: Path) -> None:
  """Draws the picture of a run's test set.

  Args:
    workdir: the run's folder.
    output: the PNG to write.
  """
  scorer, dataset, images = load_tested(workdir)
  labels, scores = dataset.test.labels, scorer.score(images)
  chosen = choose(labels, scores)
  limit, views = scorer.map_limit(), scorer.views(images[chosen])
  restored = [figures.to_uint8(views[name]) for name in ('reconstruction',) if name in views]
  columns = {}
  for k, i in enumerate(chosen):
    anomalous = scores[i] > scorer.calibration.threshold
    truth = 'sound' if labels[i] == NORMAL else 'defective'
    verdict = 'anomalous' if anomalous else 'normal'
    photograph, share = figures.to_uint8(views['input'][k]), views['map'][k] / limit
    found = tinted(photograph, share)
    if anomalous:
      outline(found, share > 1)
    title = f'{truth}, {scorer.scale(scores[[i]])[0]:.2f}:\n{verdict}'
    columns[title] = np.stack([photograph, *(x[k] for x in restored), found])
  rows = ['photograph', *(['reconstruction'] if restored else []), 'found']
  figures.sheet(output, rows, columns)


def main() -> None:
  """Runs the command."""
  picture(flags.FLAGS.workdir, Path(flags.FLAGS.output))


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('output', 'runs/picture.png', 'the PNG to write')
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
