"""What the figures that show single runs share: a grid of panels, one row per recipe."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.paper.experiment import RECIPES, Results


def plain_name(recipe: str) -> str:
  """A recipe's name without Markdown."""
  return RECIPES[recipe].replace('`', '')


def make_panels(results: Results, columns: Sequence[str], side: float) -> tuple[Figure, np.ndarray]:
  """Makes a figure of the first seed.

  Args:
    results: the experiment's results; their recipes are the rows.
    columns: one column of panels for each.
    side: width of a panel in inches.

  Returns:
    The figure, and its panels [recipes, columns].
  """
  rows = len(results.recipes())
  figure = Figure(figsize=(side * len(columns), 3.8 * rows), layout='constrained')
  figure.suptitle(f'{results.experiment.title}\nseed {results.seeds()[0]}')
  return figure, figure.subplots(rows, len(columns), squeeze=False)
