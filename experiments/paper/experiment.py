"""A table or figure of the paper as a list of runs, and the function that runs them.

Each row of a table is a setting or a category. It is run once per recipe, category and seed.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from experiments import runner
from experiments.configs import QUICK, config_of, parse_overrides
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.reports.trivial import BANDS

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
    common: recipe → overrides for all its rows.
    by_validation: whether the table also shows validation AUROC, which is used for selection.
  """

  name: str
  title: str
  config: str
  rows: dict[str, Row]
  averages: dict[str, tuple[tuple[str, ...], float | None]] = {}  # noqa: RUF012
  categories: tuple[str, ...] = ('',)
  note: str = ''
  common: dict[str, dict[str, Any]] = {}  # noqa: RUF012
  by_validation: bool = False


class Cell(NamedTuple):
  """The fields that identify a run of a table."""

  row: str
  recipe: str
  category: str
  seed: int


class Results(NamedTuple):
  """The outcome of an experiment.

  Attributes:
    experiment: the experiment, with only the rows that were run.
    outcomes: cell → its line from the runner.
    folders: cell → the folder of its run.
    overrides: the overrides given for all runs.
  """

  experiment: Experiment
  outcomes: dict[Cell, runner.Row]
  folders: dict[Cell, Path]
  overrides: dict[str, Any]

  def recipes(self) -> list[str]:
    """The recipes that were run."""
    return list(dict.fromkeys(cell.recipe for cell in self.outcomes))

  def seeds(self) -> list[int]:
    """The seeds that were run."""
    return sorted({cell.seed for cell in self.outcomes})

  def values(self, row: str, recipe: str, field: str) -> list[float | None]:
    """Each seed's mean of a field over the row's categories; None if a value is missing."""
    found = []
    for seed in self.seeds():
      cells = [c for c in self.outcomes if (c.row, c.recipe, c.seed) == (row, recipe, seed)]
      values = [value_of(self.outcomes[cell], field) for cell in cells]
      known = [value for value in values if value is not None]
      found.append(float(np.mean(known)) if known and len(known) == len(values) else None)
    return found


def value_of(outcome: runner.Row, field: str) -> float | None:
  """Returns one AUROC of a run.

  Args:
    outcome: its line from the runner.
    field: a protocol, BANDS, or 'trivial' for the best of the other trivial scores.
  """
  trivial: dict[str, float] = outcome.get('trivial') or {}
  if field == 'trivial':
    return max((v for k, v in trivial.items() if k != BANDS), default=None)
  value: float | None = trivial.get(field) if field == BANDS else outcome.get(field)
  return value


def run(
  experiment: Experiment,
  workdir: Path,
  data_dir: str,
  *,
  recipes: Sequence[str] = ('paper',),
  seeds: Sequence[int] = (0,),
  categories: Sequence[str] = (),
  overrides: Sequence[str] = (),
  oracle: bool = True,
  quick: bool = False,
  together: int = 1,
  cluster: str = '',
  devices: int = 1,
) -> Results:
  """Runs those parts of an experiment that have not been run yet.

  Args:
    experiment: the experiment.
    workdir: the folder of all runs.
    data_dir: the dataset's folder.
    recipes: from RECIPES.
    seeds: seeds of each run.
    categories: categories to run; by default the paper's.
    overrides: changes to all configs, each as 'field=value'.
    oracle: whether to keep all checkpoints until the best on the test set is known.
    quick: whether to run only tiny models, one seed and two rows.
    together: as in `runner.run_all`.
    cluster: as in `runner.run_all`.
    devices: as in `runner.run_all`.

  Returns:
    The results.

  Raises:
    InputError: if a category or an override is unknown, or no row remains.
  """
  experiment = _select(experiment, categories, quick=quick)
  common: dict[str, Any] = dict(QUICK) if quick else {}
  configs: dict[Cell, ml_collections.ConfigDict] = {}
  runs = itertools.product(experiment.rows.items(), recipes, seeds[: 1 if quick else None])
  for (label, row), recipe, seed in runs:
    for category in [row.category] if row.category else experiment.categories:
      given = parse_overrides(overrides, config_of(experiment.config, category, recipe))
      fields = {
        'data_dir': data_dir,
        'seed': seed,
        'train.keep_checkpoints': oracle,
        'train.pictures': False,
        **experiment.common.get(recipe, {}),
        **common,
        **given,
        **row.overrides,
      }
      cell = Cell(label, recipe, category, seed)
      configs[cell] = config_of(experiment.config, category, recipe, fields)
  if not configs:
    raise InputError(f'{experiment.name} has no row for the recipe {" or ".join(recipes)}')
  outcomes = runner.run_all(
    [*configs.values()], workdir, together=together, cluster=cluster, devices=devices
  )
  names = {cell: runner.name_of(config) for cell, config in configs.items()}
  return Results(
    experiment,
    {cell: outcomes[name] for cell, name in names.items()},
    {cell: workdir / name for cell, name in names.items()},
    {**common, **given},
  )


def _select(experiment: Experiment, categories: Sequence[str], *, quick: bool) -> Experiment:
  """The experiment reduced to the chosen categories, and if `quick` to two rows."""
  rows = experiment.rows
  if categories:
    of_rows = {row.category for row in rows.values() if row.category}
    if of_rows:
      unknown = [name for name in categories if name not in of_rows]
      if unknown:
        known = ', '.join(sorted(of_rows))
        raise InputError(f'no category {unknown[0]!r} in {experiment.name}; there are {known}')
      rows = {label: row for label, row in rows.items() if row.category in categories}
    experiment = experiment._replace(categories=tuple(categories))
  if quick:
    ends = [*rows][:1] + [*rows][1:][-1:]
    rows = {label: rows[label] for label in ends}
    experiment = experiment._replace(categories=experiment.categories[:1])
  return experiment._replace(rows=rows)
