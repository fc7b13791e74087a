"""Fig. 12: reconstructions of the baseline, of bands without CS, and of OCR-GAN.

python -m experiments.figure_12 --data_dir=…/mvtec_ad
"""

import itertools
from pathlib import Path

import numpy as np

from experiments.command import main
from experiments.experiment import Cell, Results, called, load_tested
from experiments.figure_9 import EXPERIMENT as FIGURE_9
from ocrgan_jax import figures
from ocrgan_jax.data.examples import ANOMALOUS
from ocrgan_jax.data.masks import load_masks

EXPERIMENT = FIGURE_9._replace(name='figure_12', title='Fig. 12: reconstructions')
SHOWN = 3  # anomalous images of a category, evenly over the sorted names
BRIGHT = 0.5  # difference of full brightness, of images in [-1, 1]


def views_of(results: Results, cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Photographs (with the outline of the mask, if there is one), reconstructions, differences.

  Returns:
    Each uint8 [SHOWN, size, size, 3].
  """
  scorer, dataset, images = load_tested(results.folders[cell])
  test = dataset.test
  anomalous = np.flatnonzero(test.labels == ANOMALOUS)
  chosen = anomalous[np.linspace(0, len(anomalous) - 1, SHOWN).astype(int)]
  masks = load_masks(test, scorer.model.image_size) if dataset.report['masks'] else {}
  views = scorer.explain(images[chosen])
  difference = np.abs(views['input'] - views['reconstruction']).mean(-1)
  photographs = [
    figures.outlined(image, masks.get(int(i)))
    for image, i in zip(figures.to_uint8(views['input']), chosen, strict=True)
  ]
  heated = [figures.heated(x, BRIGHT) for x in difference]
  return np.stack(photographs), figures.to_uint8(views['reconstruction']), np.stack(heated)


def draw(results: Results, path: Path) -> None:
  """Draws a row for each image and two columns for each model, of the first seed."""
  seed, categories = results.seeds()[0], results.experiment.categories
  columns: dict[str, list[np.ndarray]] = {'anomalous image': []}
  for category in categories:
    photographs = np.empty(0)
    for recipe, row in itertools.product(results.recipes(), results.experiment.rows):
      cell = Cell(row, recipe, category, seed)
      titles = [f'{row}\n{called(recipe)}:\n{what}' for what in ('reconstruction', 'difference')]
      if 'error' in results.outcomes[cell]:
        continue
      photographs, *made = views_of(results, cell)
      for title, images in zip(titles, made, strict=True):
        columns.setdefault(title, []).append(images)
    columns['anomalous image'].append(photographs)
  whole = {k: np.concatenate(v) for k, v in columns.items() if len(v) == len(categories)}
  labels = [f'{category} {k + 1}' for category in categories for k in range(SHOWN)]
  figures.sheet(path, labels, whole)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
