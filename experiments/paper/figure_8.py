"""Fig. 8: histograms of the scores of normal and anomalous images.

python -m experiments.paper.figure_8 --data_dir=…/mvtec_ad
"""

import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Cell, Experiment, Results, Row
from experiments.paper.panels import make_panels
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.drawing import figures

ROW = 'FD and CS, forged'
EXPERIMENT = Experiment(
  name='figure_8',
  title='Fig. 8: scores of test images',
  config='mvtec',
  rows={ROW: Row(0.983)},
  categories=MVTEC_ALL,
)


def scores_of(results: Results, cells: list[Cell]) -> tuple[np.ndarray, np.ndarray]:
  """The labels and scaled scores of the test images of several runs, concatenated.

  Raises:
    InputError: if the scores of a run are gone.
  """
  labels, scores = [], []
  for cell in cells:
    path = results.folders[cell] / 'scores.csv'
    if not path.exists():
      raise InputError(f'{path} is gone; remove its line in results.jsonl to run it again')
    with path.open() as file:
      for line in csv.DictReader(file):
        labels.append(int(line['label'] or -1))
        scores.append(float(line['score']))
  return np.array(labels), np.array(scores)


def histogram(panel: Axes, labels: np.ndarray, scores: np.ndarray, title: str) -> None:
  """Draws a histogram of each class."""
  if not len(scores):
    panel.set(title=f'{title}: not run')
    return
  low, high = np.quantile(scores, [0.005, 0.995])
  bins = np.linspace(low, high, 31)
  for label, name, color in figures.CLASSES[:2]:
    chosen = np.clip(scores[labels == label], low, high)
    weights = np.full(len(chosen), 1 / max(len(chosen), 1))
    panel.hist(
      chosen, bins.tolist(), weights=weights, color=color, alpha=0.5, label=f'{name}, {len(chosen)}'
    )
  panel.set(
    title=title,
    xlabel='score (held-out normal images: at most 1)',
    ylabel='share of images',
  )
  panel.legend()


def draw(results: Results, path: Path) -> None:
  """Draws a panel for each category, for the first seed."""
  categories, cells = results.experiment.categories, results.first_seed(ROW)
  figure, panels = make_panels(results, len(categories), 4.5)
  for panel, category in zip(panels, categories, strict=True):
    found = scores_of(results, [cell for cell in cells if cell.category == category])
    histogram(panel, *found, category)
  figures.save(figure, path)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
