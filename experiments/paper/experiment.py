"""A table or figure of the paper as a list of runs, and the function that runs them.

Each row of a table is a setting or a category. It is run once per category and seed.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections

from experiments import runner
from experiments.configs import QUICK, check_known, config_of
from experiments.markdown import mean
from experiments.rows import Row as Outcome

RECIPES = {'paper': "the paper's training", 'bands': '`bands`'}
MVTEC = {
  'textures': ('carpet', 'grid', 'leather', 'tile', 'wood'),
  'objects': (
    'bottle', 'cable', 'capsule', 'hazelnut', 'metal_nut', 'pill', 'screw', 'toothbrush',
    'transistor', 'zipper',
  ),
}  # fmt: skip
MVTEC_ALL = (*MVTEC['textures'], *MVTEC['objects'])
NOT_FORGED: dict[str, Any] = {'forgery.cutpaste': False, 'forgery.cutout': False}


class Row(NamedTuple):
  """A row of one of the paper's tables.

  Attributes:
    reported: the paper's AUROC, 0 to 1; None if the paper gives none.
    category: the category it is about; '' for the mean over the chosen categories.
    overrides: config fields that the row changes.
  """

  reported: float | None
  category: str = ''
  overrides: dict[str, Any] = {}  # noqa: RUF012


class Experiment(NamedTuple):
  """A table or figure of the paper.

  Attributes:
    name: stem of the files it writes.
    title: heading of the table or figure.
    config: config file of its dataset.
    rows: label → row.
    averages: label → labels of the rows it averages, and the paper's value.
    categories: categories averaged in rows without a category of their own, unless others are
      chosen.
    note: text below the table.
    common: overrides for all its rows.
    by_validation: whether the table also shows validation AUROC, which is used for selection.
  """

  name: str
  title: str
  config: str
  rows: dict[str, Row]
  averages: dict[str, tuple[tuple[str, ...], float | None]] = {}  # noqa: RUF012
  categories: tuple[str, ...] = ('',)
  note: str = ''
  common: dict[str, Any] = {}  # noqa: RUF012
  by_validation: bool = False


class Cell(NamedTuple):
  """The fields that identify a run of a table."""

  row: str
  category: str
  seed: int


class Results(NamedTuple):
  """The outcome of an experiment.

  Attributes:
    experiment: the experiment, with only the rows that were run.
    outcomes: cell → its line from the runner.
    folders: cell → the folder of its run.
    overrides: the overrides given for all runs.
    recipe: of all runs.
  """

  experiment: Experiment
  outcomes: dict[Cell, Outcome]
  folders: dict[Cell, Path]
  overrides: dict[str, Any]
  recipe: str = 'paper'

  def seeds(self) -> list[int]:
    """The seeds that were run."""
    return sorted({cell.seed for cell in self.outcomes})

  def first_seed(self, row: str) -> list[Cell]:
    """The cells of a row's first seed that were run without an error, for figures."""
    first = self.seeds()[0]
    return [
      cell
      for cell, outcome in self.outcomes.items()
      if (cell.row, cell.seed) == (row, first) and 'error' not in outcome
    ]

  def values(self, row: str, field: str) -> list[float | None]:
    """Each seed's mean of a field over the row's categories; None if a value is missing."""
    found = []
    for seed in self.seeds():
      cells = [c for c in self.outcomes if (c.row, c.seed) == (row, seed)]
      found.append(mean([value_of(self.outcomes[cell], field) for cell in cells]))
    return found


def value_of(outcome: Outcome, field: str) -> float | None:
  """One AUROC of a run's line of results; the field 'trivial' is the best trivial score's."""
  if field == 'trivial':
    return max((outcome.get('trivial') or {}).values(), default=None)
  value: float | None = outcome.get(field)
  return value


def run(
  experiment: Experiment,
  workdir: Path,
  data_dir: str,
  *,
  recipe: str = 'paper',
  seeds: Sequence[int] = (0,),
  categories: Sequence[str] = (),
  overrides: dict[str, Any] | None = None,
  oracle: bool = True,
  quick: bool = False,
  cluster: str = '',
  devices: int = 1,
) -> Results:
  """Runs those parts of an experiment that have not been run yet.

  Args:
    experiment: the experiment.
    workdir: the folder of all runs.
    data_dir: the dataset's folder.
    recipe: from RECIPES.
    seeds: seeds of each run.
    categories: categories to run; by default the paper's.
    overrides: config fields to change in all runs, unless a row sets them.
    oracle: whether to keep all checkpoints until the best on the test set is known.
    quick: whether to run only tiny models, one seed and two rows.
    cluster: as in `runner.run_all`.
    devices: as in `runner.run_all`.

  Returns:
    The results.

  Raises:
    InputError: if a category is unknown.
  """
  experiment = _select(experiment, categories, quick=quick)
  given = {**(QUICK if quick else {}), **(overrides or {})}
  configs: dict[Cell, ml_collections.ConfigDict] = {}
  for (label, row), seed in itertools.product(
    experiment.rows.items(), seeds[: 1 if quick else None]
  ):
    for category in [row.category] if row.category else experiment.categories:
      fields = {
        'data_dir': data_dir,
        'seed': seed,
        'train.keep_checkpoints': oracle,
        'train.pictures': False,
        **experiment.common,
        **given,
        **row.overrides,
      }
      cell = Cell(label, category, seed)
      configs[cell] = config_of(experiment.config, category, recipe, fields)
  outcomes = runner.run_all([*configs.values()], workdir, cluster=cluster, devices=devices)
  names = {cell: runner.name_of(config) for cell, config in configs.items()}
  return Results(
    experiment,
    {cell: outcomes[name] for cell, name in names.items()},
    {cell: workdir / name for cell, name in names.items()},
    given,
    recipe,
  )


def _select(experiment: Experiment, categories: Sequence[str], *, quick: bool) -> Experiment:
  """The experiment reduced to the chosen categories, and if `quick` to two rows."""
  rows = experiment.rows
  if categories:
    if of_rows := sorted({row.category for row in rows.values() if row.category}):
      check_known('categories', categories, of_rows)
      rows = {label: row for label, row in rows.items() if row.category in categories}
    experiment = experiment._replace(categories=tuple(categories))
  if quick:
    ends = [*rows][:1] + [*rows][1:][-1:]
    rows = {label: rows[label] for label in ends}
    experiment = experiment._replace(categories=experiment.categories[:1])
  return experiment._replace(rows=rows)
