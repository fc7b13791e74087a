"""What the paper's tables and figures share: the runs that they are made of.

A row of a table is a setting or a category. It is run with each recipe, category and seed that
is asked for.
"""

import ast
import importlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from matplotlib.figure import Figure

from experiments import runner
from ocrgan_jax.core import command_line
from ocrgan_jax.core.checks import flat_fields
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.images import Images, load_images
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports.trivial import BAND_STATISTICS

RECIPES = {'paper': "the paper's training", 'restore': '`restore`'}
MVTEC = {
  'textures': ('carpet', 'grid', 'leather', 'tile', 'wood'),
  'objects': (
    'bottle', 'cable', 'capsule', 'hazelnut', 'metal_nut', 'pill', 'screw', 'toothbrush',
    'transistor', 'zipper',
  ),
}  # fmt: skip
MVTEC_ALL = (*MVTEC['textures'], *MVTEC['objects'])
NOT_FORGED: dict[str, Any] = {'forgery.cutpaste': False, 'forgery.cutout': False}
# So little that only the way is tried.
QUICK: dict[str, Any] = {
  'image_size': 32,
  'model.width': 2,
  'model.discriminator_width': 4,
  'train.epochs': 1,
  'train.steps': 3,
  'train.batch_size': 8,
  'train.checkpoint_every': 1,
  'train.warmup': 0,
}


# What makes a cell of a table what it is.
OF_CELLS = ('seed', 'data_dir', 'data.dataset', 'data.category')


class Row(NamedTuple):
  """A row of a table of the paper.

  Attributes:
    reported: the paper's AUROC in it, 0 to 1; None where it gives none.
    category: that it is of; '' for the mean of those asked for.
    overrides: of the config's fields.
    recipes: that it makes sense for.
  """

  reported: float | None
  category: str = ''
  overrides: dict[str, Any] = {}  # noqa: RUF012
  recipes: tuple[str, ...] = ('paper', 'restore')


class Experiment(NamedTuple):
  """A table or a figure of the paper.

  Attributes:
    name: of its files.
    title: what it shows.
    config: the config file of its dataset.
    rows: by their labels.
    averages: label → the labels it is the mean of, and the paper's value.
    categories: that rows without one are the mean of, unless others are asked for.
    note: below the table.
    common: recipe → overrides of all its rows.
    by_validation: whether the table has the AUROC of validation, too, by which to choose.
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
  """A run of a table: of which row, recipe, category and seed."""

  row: str
  recipe: str
  category: str
  seed: int


class Results(NamedTuple):
  """What the runs of an experiment came to.

  Attributes:
    experiment: that was run, with the rows that were asked for.
    outcomes: of each cell: a line of the runner.
    folders: of each cell's run.
    overrides: of all runs, as given.
  """

  experiment: Experiment
  outcomes: dict[Cell, runner.Row]
  folders: dict[Cell, Path]
  overrides: dict[str, Any]

  def recipes(self) -> list[str]:
    """That were run."""
    return list(dict.fromkeys(cell.recipe for cell in self.outcomes))

  def seeds(self) -> list[int]:
    """That were run."""
    return sorted({cell.seed for cell in self.outcomes})

  def values(self, row: str, recipe: str, field: str) -> list[float | None]:
    """One value for each seed, the mean over the row's categories; None if one is missing."""
    found = []
    for seed in self.seeds():
      cells = [c for c in self.outcomes if (c.row, c.recipe, c.seed) == (row, recipe, seed)]
      values = [value_of(self.outcomes[cell], field) for cell in cells]
      known = [value for value in values if value is not None]
      found.append(float(np.mean(known)) if known and len(known) == len(values) else None)
    return found


def value_of(outcome: runner.Row, field: str) -> float | None:
  """An AUROC of a run: of a protocol, of BAND_STATISTICS, or of the best 'trivial' score."""
  trivial: dict[str, float] = outcome.get('trivial') or {}
  if field == 'trivial':
    return max((v for k, v in trivial.items() if k != BAND_STATISTICS), default=None)
  value: float | None = trivial.get(field) if field == BAND_STATISTICS else outcome.get(field)
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
  """Runs an experiment, or what is left of it.

  Args:
    experiment: to run.
    workdir: the folder of all runs.
    data_dir: the dataset's folder.
    recipes: of RECIPES.
    seeds: of each run.
    categories: that are asked for; the paper's by default.
    overrides: of all configs, each as 'field=value'.
    oracle: whether all checkpoints are kept until the best on the test set is known.
    quick: tiny models, one seed and two rows.
    together: as `runner.run_all`.
    cluster: as `runner.run_all`.
    devices: as `runner.run_all`.

  Returns:
    What the runs came to.

  Raises:
    InputError: if a category or an override is unknown, or nothing is left to run.
  """
  experiment = _chosen(experiment, categories, quick=quick)
  common: dict[str, Any] = dict(QUICK) if quick else {}
  found: dict[Cell, ml_collections.ConfigDict] = {}
  of_all = itertools.product(experiment.rows.items(), recipes, seeds[: 1 if quick else None])
  for (label, row), recipe, seed in of_all:
    if recipe not in row.recipes:
      continue
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
      found[cell] = config_of(experiment.config, category, recipe, fields)
  if not found:
    raise InputError(f'{experiment.name} has no row for the recipe {" or ".join(recipes)}')
  outcomes = runner.run_all(
    [*found.values()], workdir, together=together, cluster=cluster, devices=devices
  )
  names = {cell: runner.name_of(config) for cell, config in found.items()}
  return Results(
    experiment,
    {cell: outcomes[name] for cell, name in names.items()},
    {cell: workdir / name for cell, name in names.items()},
    {**common, **given},
  )


def _chosen(experiment: Experiment, categories: Sequence[str], *, quick: bool) -> Experiment:
  """The experiment with the categories asked for alone."""
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


def load_tested(folder: str | Path) -> tuple[Scorer, Prepared, Images]:
  """The model of a run, its dataset, and the images of its test set."""
  scorer = load(folder)
  dataset = prepare_dataset(scorer.config.data_dir, scorer.config.data)
  memory_gib = scorer.config.data.memory_gib
  return scorer, dataset, load_images(dataset.test, scorer.framing, memory_gib=memory_gib)


def called(recipe: str) -> str:
  """A recipe's name in a picture."""
  return RECIPES[recipe].replace('`', '')


def panels_of(results: Results, columns: Sequence[str], side: float) -> tuple[Figure, np.ndarray]:
  """A figure of the first seed with a row of panels for each recipe: [recipes, columns]."""
  rows = len(results.recipes())
  figure = Figure(figsize=(side * len(columns), 3.8 * rows), layout='constrained')
  figure.suptitle(f'{results.experiment.title}\nseed {results.seeds()[0]}')
  return figure, figure.subplots(rows, len(columns), squeeze=False)


def config_of(
  name: str, category: str, recipe: str, fields: dict[str, Any] | None = None
) -> ml_collections.ConfigDict:
  """The config of a run, free of references.

  Args:
    name: of a file in `configs/`.
    category: of its dataset; may be ''.
    recipe: a preset.
    fields: that are changed. D gets G's width from `model.width`, as on the command line.

  Returns:
    The config.

  Raises:
    InputError: if there is no such file or category.
  """
  if name not in command_line.CONFIG_NAMES:
    known = ', '.join(command_line.CONFIG_NAMES)
    raise InputError(f'there is no config {name!r}; there are {known}')
  module = importlib.import_module(f'ocrgan_jax.configs.{name}')
  try:
    config = module.get_config(','.join(filter(None, (category, recipe))))
  except ValueError as error:
    raise InputError(str(error)) from None
  config.update_from_flattened_dict(fields or {})
  return ml_collections.ConfigDict(config.copy_and_resolve_references())


def parse_overrides(texts: Sequence[str], config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The values of `--override=field=value`.

  Raises:
    InputError: if a field is unknown, is one of OF_CELLS, or its value is of another type.
  """
  known, found = flat_fields(config), {}
  for text in texts:
    name, _, value = text.partition('=')
    if name not in known:
      raise InputError(f'--override={text}: there is no field {name!r}; see configs/default.py')
    if name in OF_CELLS:
      raise InputError(f'--override={text}: use --seeds, --categories and --data_dir instead')
    try:
      parsed = value if isinstance(known[name], str) else ast.literal_eval(value)
      if isinstance(known[name], float) and type(parsed) is int:
        parsed = float(parsed)
      if known[name] is not None and type(parsed) is not type(known[name]):
        raise ValueError
      found[name] = parsed
    except (ValueError, SyntaxError):
      kind = type(known[name]).__name__
      raise InputError(f'--override={text}: {value!r} is no {kind}') from None
  return found
