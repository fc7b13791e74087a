"""Fig. 10: D's latent features in two dimensions, by t-SNE.

python -m experiments.paper.figure_10 --data_dir=…/mvtec_ad
"""

import warnings
from pathlib import Path

from sklearn.manifold import TSNE

from experiments.paper.command import main
from experiments.paper.experiment import Experiment, Results, Row
from experiments.paper.panels import make_panels
from experiments.tested import load_tested, outputs
from ocrgan_jax.drawing import figures

ROW = 'FD and CS, forged'
# The paper draws eight of the fifteen categories and does not name all of them.
CATEGORIES = ('carpet', 'grid', 'leather', 'tile', 'bottle', 'cable', 'pill', 'zipper')
EXPERIMENT = Experiment(
  name='figure_10',
  title="Fig. 10: D's latent features of test images, by t-SNE",
  config='mvtec',
  rows={ROW: Row(None)},
  categories=CATEGORIES,
)


def draw(results: Results, path: Path) -> None:
  """Draws a panel for each category, for the first seed."""
  categories = results.experiment.categories
  found = {cell.category: results.folders[cell] for cell in results.first_seed(ROW)}
  figure, panels = make_panels(results, len(categories), 4)
  for panel, category in zip(panels, categories, strict=True):
    panel.set(title=category, xticks=[], yticks=[])
    if category not in found:
      panel.set_xlabel('not run')
      continue
    scorer, dataset, images = load_tested(found[category])
    (features,) = outputs(scorer, images, 'features')
    perplexity = min(30.0, (len(features) - 1) / 3)
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', RuntimeWarning)  # raised if all features are equal
      places = TSNE(perplexity=perplexity, init='pca', random_state=0).fit_transform(features)
    for label, name, color in figures.CLASSES[:2]:
      chosen = places[dataset.test.labels == label]
      panel.scatter(*chosen.T, s=12, color=color, alpha=0.7, label=name)
    panel.legend()
  figures.save(figure, path)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
