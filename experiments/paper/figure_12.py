"""Fig. 12: reconstructions by the baseline, by bands without CS, and by OCR-GAN.

python -m experiments.paper.figure_12 --data_dir=…/mvtec_ad
"""

from pathlib import Path

import numpy as np

from experiments.paper.command import main
from experiments.paper.experiment import Results
from experiments.paper.figure_9 import EXPERIMENT as FIGURE_9
from experiments.tested import load_tested
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.examples import ANOMALOUS
from ocrgan_jax.data.masks import load_masks
from ocrgan_jax.drawing import figures

EXPERIMENT = FIGURE_9._replace(name='figure_12', title='Fig. 12: reconstructions')
SHOWN = 3  # anomalous images of each category, evenly spaced in the sorted names
BRIGHT = 0.5  # difference drawn at full brightness, for images in [-1, 1]


def views_of(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The photographs (with the mask's outline, if any), reconstructions and differences.

  Returns:
    Each uint8 [SHOWN, size, size, 3].
  """
  scorer, dataset, images = load_tested(folder)
  test = dataset.test
  anomalous = np.flatnonzero(test.labels == ANOMALOUS)
  chosen = anomalous[np.linspace(0, len(anomalous) - 1, SHOWN).astype(int)]
  masks = load_masks(test, scorer.model.image_size) if dataset.report['masks'] else {}
  views = scorer.views(images[chosen])
  difference = np.abs(views['input'] - views['reconstruction']).mean(-1)
  photographs = [
    figures.with_outline(image, masks.get(int(i)))
    for image, i in zip(figures.to_uint8(views['input']), chosen, strict=True)
  ]
  heated = [figures.colorize_map(x, BRIGHT) for x in difference]
  return np.stack(photographs), figures.to_uint8(views['reconstruction']), np.stack(heated)


def draw(results: Results, path: Path) -> None:
  """Draws a row for each image and two columns for each model, for the first seed.

  The columns of a failed model are white. A category without any model is left out; the table
  names it.

  Raises:
    InputError: if no model was trained.
  """
  models = [*results.experiment.rows]
  cells = [cell for row in models for cell in results.first_seed(row)]
  labels: list[str] = []
  columns: dict[str, list[np.ndarray]] = {}
  for category in results.experiment.categories:
    views = {c.row: views_of(results.folders[c]) for c in cells if c.category == category}
    if not views:
      continue
    labels += [f'{category} {k + 1}' for k in range(SHOWN)]
    photographs = next(iter(views.values()))[0]
    white = np.full_like(photographs, 255)
    columns.setdefault('anomalous image', []).append(photographs)
    for model in models:
      _, reconstructions, differences = views.get(model, (white, white, white))
      columns.setdefault(f'{model}:\nreconstruction', []).append(reconstructions)
      columns.setdefault(f'{model}:\ndifference', []).append(differences)
  if not columns:
    raise InputError('there is nothing to draw: no model was trained; the table says why')
  figures.sheet(
    path,
    labels,
    {name: np.concatenate(parts) for name, parts in columns.items()},
    f'{results.experiment.title} of defective images, and the differences (bright); '
    f'seed {results.seeds()[0]}',
  )


if __name__ == '__main__':
  main(EXPERIMENT, draw)
