"""Fig. 11: the width of G.

  python -m experiments.paper.figure_11 --data_dir=…/mvtec_ad

D keeps its width, 64.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Experiment, Results, Row
from experiments.paper.panels import curve
from ocrgan_jax.drawing import figures

WIDTHS = {64: 0.983, 32: None, 16: None, 8: None, 4: 0.987, 2: None, 1: None}
EXPERIMENT = Experiment(
  name='figure_11',
  title='Fig. 11: channels of the first stage of G',
  config='mvtec',
  rows={
    f'width {width}': Row(value, overrides={'model.width': width})
    for width, value in WIDTHS.items()
  },
  common={'model.discriminator_width': 64},
  categories=MVTEC_ALL,
  note='The paper draws this curve and gives numbers for two of its points.',
)


def draw(results: Results, path: Path) -> None:
  """Draws AUROC against width."""
  figure = Figure(figsize=(6, 4))
  panel, rows = figure.subplots(), results.experiment.rows
  widths = [int(row.overrides['model.width']) for row in rows.values()]
  known = [(width, WIDTHS[width]) for width in widths if WIDTHS.get(width)]
  panel.plot(*zip(*known, strict=True), 'x', color='black', label='as reported, all categories')
  curve(panel, widths, np.array([results.values(label, 'last') for label in rows], float).T)
  panel.set_xscale('log', base=2)
  panel.set_xticks(widths, [str(width) for width in widths])
  panel.set(
    title=f'{results.experiment.title}; {", ".join(results.experiment.categories)}',
    xlabel='width of G, channels of its first stage',
    ylabel='image AUROC, last step',
  )
  figures.save(figure, path)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
