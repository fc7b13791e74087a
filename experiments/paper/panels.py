"""What figures share: a line of panels for the first seed, and a curve over a setting."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.paper.experiment import Results


def make_panels(results: Results, count: int, side: float) -> tuple[Figure, np.ndarray]:
  """Makes a figure with so many panels side by side, each `side` inches wide."""
  figure = Figure(figsize=(side * count, 3.8), layout='constrained')
  figure.suptitle(f'{results.experiment.title}\nseed {results.seeds()[0]}')
  return figure, figure.subplots(1, count, squeeze=False)[0]


def curve(panel: Axes, places: Sequence[float], aurocs: np.ndarray) -> None:
  """Draws the AUROC of each run, [runs, places], and their mean, none where a run is missing."""
  for run in aurocs:
    panel.plot(places, run, 'o-', color='tab:gray', alpha=0.5, markersize=3)
  panel.plot(places, aurocs.mean(0), 'o-', color='tab:blue', label='mean')
  panel.axhline(0.5, color='black', linestyle=':', linewidth=1, label='chance')
  panel.legend()
