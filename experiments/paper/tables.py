"""Writes the results of an experiment as a Markdown table, with notes, and as CSV."""

import csv
import io
import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np

from experiments.paper.experiment import RECIPES, Results
from ocrgan_jax.reports.several_runs import format_mean, mean_and_error
from ocrgan_jax.reports.trivial import BANDS
from ocrgan_jax.runs.checkpoint import PROTOCOLS, VALIDATION

Mean = tuple[float, float | None] | None  # with standard error; None if a value is missing


class Line(NamedTuple):
  """A line of a table: its label, the mean of each column, and the paper's value."""

  label: str
  values: dict[tuple[str, str], Mean]
  reported: float | None


def lines_of(results: Results) -> list[Line]:
  """The lines of the table: its rows, then its averages."""
  experiment = results.experiment
  columns = columns_of(results)
  by_seed = {
    (label, column): results.values(label, *column)
    for label in experiment.rows
    for column in columns
  }
  lines = [
    Line(label, {c: mean_and_error(by_seed[label, c]) for c in columns}, row.reported)
    for label, row in experiment.rows.items()
  ]
  for label, (parts, reported) in experiment.averages.items():
    cells: dict[tuple[str, str], Mean] = {}
    for column in columns:
      rows = [by_seed.get((part, column), [None]) for part in parts]
      means = [
        None if None in seed else float(np.mean([v for v in seed if v is not None]))
        for seed in itertools.zip_longest(*rows)
      ]
      cells[column] = mean_and_error(means)
    lines.append(Line(label, cells, reported))
  return lines


def columns_of(results: Results) -> list[tuple[str, str]]:
  """The recipe and the field of each column."""
  with_oracle = any('oracle' in outcome for outcome in results.outcomes.values())
  protocols = PROTOCOLS[: 3 if with_oracle else 2]
  recipes = results.recipes()
  fields = (VALIDATION, *protocols) if results.experiment.by_validation else protocols
  return [
    *itertools.product(recipes, fields),
    (recipes[0], 'trivial'),
    (recipes[0], BANDS),
  ]


def markdown(results: Results) -> str:
  """The table in Markdown, with its title and notes."""
  experiment, columns = results.experiment, columns_of(results)
  heads = {'trivial': 'best trivial score', BANDS: '`bands`'}
  shown_as = {VALIDATION: 'held-out against forged'}
  names = [
    heads.get(field) or f'{RECIPES[recipe]}: {shown_as.get(field, field)}'
    for recipe, field in columns
  ]
  rows = lines_of(results)
  compared = any(line.reported is not None for line in rows)
  if compared:
    names.append('as reported')
  lines = [f'## {experiment.title}', '']
  lines += ['| | ' + ' | '.join(names) + ' |', '|---' * (len(names) + 1) + '|']
  for line in rows:
    cells = [format_mean(line.values[column]) for column in columns]
    if compared:
      cells.append('–' if line.reported is None else f'{line.reported:.3f}')
    lines.append('| ' + ' | '.join([line.label, *cells]) + ' |')
  return '\n'.join([*lines, '', *notes(results), ''])


def notes(results: Results) -> list[str]:
  """The notes below a table."""
  experiment, outcomes = results.experiment, [*results.outcomes.values()]
  seeds = ', '.join(map(str, results.seeds()))
  if len(results.seeds()) == 1:
    lines = [f'Image AUROC, seed {seeds}.']
  else:
    lines = [f'Image AUROC, mean ± standard error over seeds {seeds}.']
  if not any(row.category for row in experiment.rows.values()) and any(experiment.categories):
    lines.append(
      f'Categories: {", ".join(experiment.categories)}; the paper averages all of its dataset.'
    )
  if results.overrides:
    rows = experiment.rows.values()
    but = lambda name: ' (unless the row sets it)' * any(name in row.overrides for row in rows)
    changes = ', '.join(f'{name}={value}{but(name)}' for name, value in results.overrides.items())
    lines.append(f'Changed from the paper: {changes}.')
  if experiment.note:
    lines.append(experiment.note)
  if experiment.by_validation:
    lines.append(
      '"Held-out against forged" is used for selection: at the last step, the AUROC of held-out '
      'normal images against copies with forgeries that training does not use.'
    )
  lines.append(
    '`last` is the last step, `validation` the checkpoint selected by held-out normal images and '
    'their forged copies, `oracle` the best checkpoint on the test set, which no user can know.'
  )
  machines = sorted({row['machine'] for row in outcomes if 'machine' in row})
  distinct = {row['run']: row for row in outcomes}  # rows may share a run
  minutes = sum(row.get('minutes', 0) for row in distinct.values())
  lines.append(
    f'{len(distinct)} runs, {minutes:.0f} minutes of training, on {"; ".join(machines)}.'
  )
  return [*lines, *missing(results)]


def missing(results: Results) -> list[str]:
  """A line for each row and category with failed runs: which of them (unless all), and why."""
  named = lambda cell: ', '.join(dict.fromkeys(filter(None, (cell.row, cell.category))))
  total = Counter(named(cell) for cell in results.outcomes)
  failed: dict[tuple[str, str], list[str]] = {}
  for cell, outcome in results.outcomes.items():
    if 'error' in outcome:
      runs = failed.setdefault((named(cell), outcome['error']), [])
      runs.append(f'{RECIPES[cell.recipe]}, seed {cell.seed}')
  which = lambda name, runs: '' if len(runs) == total[name] else f' ({"; ".join(runs)})'
  return [f'Missing: {name}{which(name, runs)}: {error}.' for (name, error), runs in failed.items()]


def table_csv(results: Results) -> str:
  """The table as CSV, with the mean and the standard error of each column."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  columns = columns_of(results)
  names = [f'{recipe}_{field}'.replace(' ', '_') for recipe, field in columns]
  heads = [head for name in names for head in (name, f'{name}_error')]
  writer.writerow(['row', *heads, 'as_reported'])
  for line in lines_of(results):
    cells = [x for column in columns for x in (line.values[column] or ('', ''))]
    writer.writerow([line.label, *cells, '' if line.reported is None else line.reported])
  return file.getvalue()
