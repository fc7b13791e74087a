"""Fig. 10: D's latent features in two dimensions, by t-SNE.

python -m experiments.paper.figure_10 --data_dir=…/mvtec_ad
"""

import warnings
from pathlib import Path

import numpy as np
from sklearn.manifold import TSNE

from experiments.paper.command import main
from experiments.paper.experiment import Cell, Experiment, Results, Row
from experiments.paper.panels import make_panels, plain_name
from experiments.runner import load_tested
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


def features_of(folder: Path) -> tuple[np.ndarray, np.ndarray]:
  """The labels and D's latent features, float32 [images, features], of a run's test images."""
  scorer, dataset, images = load_tested(folder)
  found = [values['features'] for _, values in scorer.batches(images, ('features',))]
  return dataset.test.labels, np.concatenate(found)


def draw(results: Results, path: Path) -> None:
  """Draws a panel for each recipe and category, for the first seed."""
  recipes, seed = results.recipes(), results.seeds()[0]
  categories = results.experiment.categories
  figure, panels = make_panels(results, categories, 4)
  for line, recipe in zip(panels, recipes, strict=True):
    for panel, category in zip(line, categories, strict=True):
      cell = Cell(ROW, recipe, category, seed)
      panel.set(title=f'{category}, {plain_name(recipe)}', xticks=[], yticks=[])
      if 'error' in results.outcomes[cell]:
        panel.set_xlabel('not run')
        continue
      labels, features = features_of(results.folders[cell])
      perplexity = min(30.0, (len(features) - 1) / 3)
      with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # raised if all features are equal
        places = TSNE(perplexity=perplexity, init='pca', random_state=0).fit_transform(features)
      for label, name, color in figures.CLASSES[:2]:
        panel.scatter(*places[labels == label].T, s=12, color=color, alpha=0.7, label=name)
      panel.legend()
  figures.save(figure, path)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
