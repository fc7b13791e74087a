"""A table of several runs: means over seeds with their standard errors."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ocrgan_jax.core.files import write_text
from ocrgan_jax.drawing import templating
from ocrgan_jax.reports.twins import WITHOUT
from ocrgan_jax.runs import run_folder

TEMPLATE = Path(__file__).parent / 'templates' / 'table.html.jinja'
METRICS = {
  'image_auroc': 'image AUROC',
  WITHOUT: 'without twins',
  'image_auroc_bands': 'recipe bands',
  'image_ap': 'average precision',
  'aupro': 'AUPRO',
  'recall': 'defects found',
  'false_alarm_rate': 'false alarms',
}
IF_KNOWN = (WITHOUT, 'image_auroc_bands')  # columns that a table without such values lacks
Mean = tuple[float, float | None] | None  # with standard error; None if a value is missing


class Row(NamedTuple):
  """A row of the table: the runs of one category, or the average of all categories.

  Attributes:
    name: of the category.
    runs: for each run its folder, relative to the table's, its seed and its image AUROC.
    means: metric → mean over the runs.
  """

  name: str
  runs: list[tuple[str, int, float | None]]
  means: dict[str, Mean]


def build_rows(workdir: Path, evaluated: dict[Path, dict[str, Any]]) -> list[Row]:
  """Averages over the seeds of each category, then over categories.

  Args:
    workdir: the folder of the runs.
    evaluated: folder of a run → its `metrics.json`.

  Returns:
    A row per category and, if there are several, one for their average.
  """
  groups: dict[str, list[Path]] = defaultdict(list)
  for folder in evaluated:
    data = run_folder.load_config(folder).data
    groups[f'{data.dataset} {data.category}'.strip()].append(folder)
  rows = []
  for name, folders in groups.items():
    found = [evaluated[folder] for folder in folders]
    of_runs = [
      (str(folder.relative_to(workdir)), metrics['seed'], metrics['image_auroc'])
      for folder, metrics in zip(folders, found, strict=True)
    ]
    means = {metric: mean_and_error([x.get(metric) for x in found]) for metric in METRICS}
    rows.append(Row(name, of_runs, means))
  if len(rows) > 1:
    first = lambda mean: mean and mean[0]
    averages = {m: mean_and_error([first(row.means[m]) for row in rows]) for m in METRICS}
    rows.append(Row(f'average of {len(rows)}', [], averages))
  return rows


def mean_and_error(values: Sequence[float | None]) -> Mean:
  """The mean and its standard error, None for a single value; None if a value is missing."""
  if not values or any(value is None for value in values):
    return None
  known = np.array(values, float)
  error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None
  return float(known.mean()), error


def format_mean(value: Mean) -> str:
  """Formats a mean with its standard error: '0.913 ± 0.004'."""
  if value is None:
    return '–'
  mean, error = value
  return f'{mean:.3f}' + (f' ± {error:.3f}' if error is not None else '')


def write(workdir: Path, rows: Sequence[Row], protocol: str) -> str:
  """Writes `table.csv` and `table.html`, and returns the table as text.

  Args:
    workdir: the folder of the runs.
    rows: from `build_rows`.
    protocol: of the evaluations.

  Returns:
    Lines of a Markdown table.
  """
  shown = {
    n: title for n, title in METRICS.items() if n not in IF_KNOWN or any(r.means[n] for r in rows)
  }
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(['category', 'runs', *(f'{n}{x}' for n in shown for x in ('', '_error'))])
  lines = ['| | runs | ' + ' | '.join(shown.values()) + ' |', '|---' * (len(shown) + 2) + '|']
  for row in rows:
    means = [row.means[name] for name in shown]
    writer.writerow([row.name, len(row.runs), *(x for mean in means for x in mean or ('', ''))])
    cells = ' | '.join(map(format_mean, means))
    lines.append(f'| {row.name} | {len(row.runs) or ""} | {cells} |')
  write_text(workdir / 'table.csv', file.getvalue())
  page = templating.render(
    TEMPLATE, rows=rows, metrics=shown, format_mean=format_mean, protocol=protocol
  )
  write_text(workdir / 'table.html', page)
  return '\n'.join(lines)
