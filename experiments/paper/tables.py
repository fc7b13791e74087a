"""Writes the results of an experiment as a Markdown table, with notes, and as CSV."""

import csv
import io
import itertools
from typing import NamedTuple

from experiments.markdown import mean, number, table
from experiments.paper.experiment import RECIPES, Results
from experiments.runner import PROTOCOLS, VALIDATION
from ocrgan_jax.reports.several_runs import format_mean, mean_and_error

BANDS = 'image_auroc_bands'
Mean = tuple[float, float | None] | None  # with standard error; None if a value is missing


class Line(NamedTuple):
  """A line of a table: its label, the mean of each column, and the paper's value."""

  label: str
  values: dict[str, Mean]
  reported: float | None


def columns_of(results: Results) -> list[str]:
  """The field of each column."""
  with_oracle = any('oracle' in outcome for outcome in results.outcomes.values())
  protocols = PROTOCOLS[: 3 if with_oracle else 2]
  return [*[VALIDATION] * results.experiment.by_validation, *protocols, 'trivial', BANDS]


def lines_of(results: Results) -> list[Line]:
  """The lines of the table: its rows, then its averages."""
  experiment, columns = results.experiment, columns_of(results)
  reported = {label: row.reported for label, row in experiment.rows.items()}
  by_seed = {(row, c): results.values(row, c) for row in experiment.rows for c in columns}
  for label, (parts, value) in experiment.averages.items():
    reported[label] = value
    for column in columns:
      of_parts = [by_seed.get((part, column), [None]) for part in parts]
      by_seed[label, column] = [mean(seed) for seed in itertools.zip_longest(*of_parts)]
  return [
    Line(label, {c: mean_and_error(by_seed[label, c]) for c in columns}, value)
    for label, value in reported.items()
  ]


def markdown(results: Results) -> str:
  """The table in Markdown, with its title and notes."""
  experiment, columns = results.experiment, columns_of(results)
  heads = {'trivial': 'best trivial score', BANDS: '`bands`'}
  shown_as = {VALIDATION: 'held-out against forged'}
  recipe = RECIPES[results.recipe]
  names = [heads.get(c) or f'{recipe}: {shown_as.get(c, c)}' for c in columns]
  rows = lines_of(results)
  compared = any(line.reported is not None for line in rows)
  if compared:
    names.append('as reported')
  cells = [
    [line.label, *map(format_mean, line.values.values()), *[number(line.reported)] * compared]
    for line in rows
  ]
  lines = table(['', *names], cells)
  return '\n'.join([f'## {experiment.title}', '', *lines, '', *notes(results), ''])


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
      'normal images against their forged copies.'
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
  """A line for each row and category with failed runs: their seeds, and why."""
  failed: dict[tuple[str, str], list[str]] = {}
  for cell, outcome in results.outcomes.items():
    if 'error' in outcome:
      name = ', '.join(dict.fromkeys(filter(None, (cell.row, cell.category))))
      failed.setdefault((name, outcome['error']), []).append(str(cell.seed))
  return [f'Missing: {n}, seed {", ".join(seeds)}: {e}.' for (n, e), seeds in failed.items()]


def table_csv(results: Results) -> str:
  """The table as CSV, with the mean and the standard error of each column."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  columns = columns_of(results)
  heads = [f'{results.recipe}_{field}{end}' for field in columns for end in ('', '_error')]
  writer.writerow(['row', *heads, 'as_reported'])
  for line in lines_of(results):
    cells = [x for column in columns for x in (line.values[column] or ('', ''))]
    writer.writerow([line.label, *cells, '' if line.reported is None else line.reported])
  return file.getvalue()
