"""Fig. 9: scores of the baseline, with FD, and with FD and CS, over all categories.

python -m experiments.paper.figure_9 --data_dir=…/mvtec_ad
"""

from pathlib import Path

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Experiment, Results, Row
from experiments.paper.figure_8 import histogram, scores_of
from experiments.paper.panels import make_panels
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
  """Draws a panel for each row, over all categories, for the first seed."""
  rows = results.experiment.rows
  figure, panels = make_panels(results, len(rows), 4.5)
  for panel, row in zip(panels, rows, strict=True):
    cells = results.first_seed(row)
    title = f'{row}\n{", ".join(cell.category for cell in cells)}'
    histogram(panel, *scores_of(results, cells), title)
  figures.save(figure, path)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
