"""Fig. 9: scores of the baseline, with FD, and with FD and CS, over all categories.

python -m experiments.paper.figure_9 --data_dir=…/mvtec_ad
"""

from pathlib import Path

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Experiment, Results, Row
from experiments.paper.figure_8 import histogram, scores_of
from experiments.paper.panels import make_panels, plain_name
from ocrgan_jax.drawing import figures

EXPERIMENT = Experiment(
  name='figure_9',
  title='Fig. 9: scores of test images of the baseline, with FD, with FD and CS',
  config='mvtec',
  rows={
    '(a) baseline': Row(0.685, overrides={'model.branches': 1}),
    '(b) with FD': Row(0.772, overrides={'model.channel_selection': False}),
    '(c) with FD and CS': Row(0.983),
  },
  categories=MVTEC_ALL,
  note='All use forged images, as in rows 2, 4 and 9 of Table V.',
)


def draw(results: Results, path: Path) -> None:
  """Draws a panel for each recipe and row, over all categories, for the first seed."""
  recipes, rows, seed = results.recipes(), [*results.experiment.rows], results.seeds()[0]
  figure, panels = make_panels(results, rows, 4.5)
  for line, recipe in zip(panels, recipes, strict=True):
    for panel, row in zip(line, rows, strict=True):
      cells = [c for c in results.folders if (c.row, c.recipe, c.seed) == (row, recipe, seed)]
      shown = [c.category for c in cells if 'error' not in results.outcomes[c]]
      histogram(
        panel, *scores_of(results, cells), f'{row}, {plain_name(recipe)}\n{", ".join(shown)}'
      )
  figures.save(figure, path)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
