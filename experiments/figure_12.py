"""Fig. 12: reconstructions of the baseline, of bands without CS, and of OCR-GAN.

python -m experiments.figure_12 --data_dir=…/mvtec_ad
"""

from pathlib import Path

import numpy as np

from experiments.command import main
from experiments.experiment import Cell, Results, load_tested
from experiments.figure_9 import EXPERIMENT as FIGURE_9
from ocrgan_jax import figures
from ocrgan_jax.data.examples import ANOMALOUS
from ocrgan_jax.data.masks import load_masks

EXPERIMENT = FIGURE_9._replace(name='figure_12', title='Fig. 12: reconstructions')
SHOWN = 3  # anomalous images of a category, evenly over the sorted names
BRIGHT = 0.5  # difference of full brightness, of images in [-1, 1]


def views_of(results: Results, cell: Cell) -> dict[str, np.ndarray]:
  """Original (with the outline of its mask, if it has one), reconstruction and difference.

  Returns:
    View → uint8 [images, size, size, 3].
  """
  scorer, dataset, images = load_tested(results.folders[cell])
  test = dataset.test
  anomalous = np.flatnonzero(test.labels == ANOMALOUS)
  chosen = anomalous[np.linspace(0, len(anomalous) - 1, SHOWN).astype(int)]
  masks = load_masks(test, scorer.model.image_size) if dataset.report['masks'] else {}
  views = scorer.explain(images[chosen])
  difference = np.abs(views['input'] - views['reconstruction']).mean(-1)
  originals = figures.to_uint8(views['input'])
  return {
    'Ori': np.stack([
      figures.outlined(image, masks.get(int(i))) for image, i in zip(originals, chosen, strict=True)
    ]),
    'Rec': figures.to_uint8(views['reconstruction']),
    'Diff': np.stack([figures.heated(x, BRIGHT) for x in difference]),
  }  # fmt: skip


def draw(results: Results, path: Path) -> None:
  """Draws a column for each model and image, of the first seed and recipe."""
  recipe, seed = results.recipes()[0], results.seeds()[0]
  columns: dict[str, np.ndarray] = {}
  for category in results.experiment.categories:
    for row in results.experiment.rows:
      cell = Cell(row, recipe, category, seed)
      if 'error' in results.outcomes[cell]:
        continue
      views = views_of(results, cell)
      for k in range(SHOWN):
        columns[f'{category} {k + 1}\n{row}'] = np.stack([view[k] for view in views.values()])
  figures.sheet(path, ['Ori', 'Rec', 'Diff'], dict(sorted(columns.items())))


if __name__ == '__main__':
  main(EXPERIMENT, draw)
