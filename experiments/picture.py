"""The README's picture: `python -m experiments.picture --workdir=runs/demo --output=…`.

Test images from the most to the least anomalous of those that are, and a sound one: the
photograph, the anomaly map, the scaled score and what it is called.
"""

from pathlib import Path

import numpy as np
from absl import flags

from ocrgan_jax import command_line, figures
from ocrgan_jax.data import prepare_dataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.data.pipeline import load_images
from ocrgan_jax.prediction import limit_of_map
from ocrgan_jax.scorer import load

QUANTILES = (0.95, 0.8, 0.65, 0.5, 0.35)  # of the anomalous images' scores


def picture(workdir: str, output: Path) -> None:
  """Draws the picture of a run's test set.

  Args:
    workdir: the run's folder.
    output: the PNG.
  """
  scorer = load(workdir)
  test = prepare_dataset(scorer.config.data_dir, scorer.config.data).test
  images = load_images(test, scorer.framing, memory_gib=scorer.config.data.memory_gib)
  scores = scorer.score(images)
  of = lambda label: np.flatnonzero(test.labels == label)
  at = lambda chosen, q: chosen[np.argsort(scores[chosen])[int(q * (len(chosen) - 1))]]
  chosen = np.array([*(at(of(ANOMALOUS), q) for q in QUANTILES), at(of(NORMAL), 0.5)])
  threshold = scorer.calibration.threshold
  limit = limit_of_map(scorer, scorer.calibration.limit)
  shown, maps = images[chosen], scorer.maps(images[chosen])
  heat = [figures.heated(x, limit) for x in maps]
  columns = {}
  for k, i in enumerate(chosen):
    verdict = 'anomalous' if scores[i] > threshold else 'normal'
    truth = 'sound' if test.labels[i] == NORMAL else 'defective'
    title = f'{truth}, {scorer.scale(scores[[i]])[0]:.2f}:\n{verdict}'
    columns[title] = np.stack([shown[k], heat[k]])
  figures.sheet(output, ['photograph', 'anomaly map'], columns)


def main() -> None:
  """Runs the command."""
  picture(flags.FLAGS.workdir, Path(flags.FLAGS.output))


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('output', 'runs/picture.png', 'the PNG')
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
