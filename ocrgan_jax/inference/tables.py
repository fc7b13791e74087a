"""Tables of predictions, as CSV or JSON lines."""

import contextlib
import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.prediction import Prediction

COLUMNS = Prediction._fields


def write_table(path: Path, predictions: Iterable[Prediction], count: int) -> Iterator[Prediction]:
  """Writes predictions to a new table, and yields each as soon as its row is written.

  Args:
    path: of the table.
    predictions: the rows.
    count: number of predictions, for the progress bar.

  Raises:
    InputError: before the first image is scored, if the file cannot be written.
  """
  with open_table(path, 'w') as write:
    for p in tqdm(predictions, 'scoring', count, unit='image', leave=False):
      write(p)
      yield p


@contextlib.contextmanager
def open_table(path: Path, mode: str) -> Iterator[Callable[[Prediction], None]]:
  """Opens a table, and gives the function that writes a row at once.

  Args:
    path: of the table: JSON lines if it ends with .jsonl, else CSV.
    mode: 'w' to write a new one, 'a' to append.

  Raises:
    InputError: if the file cannot be written.
  """
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names need not be valid text; surrogateescape keeps their bytes.
    file = path.open(mode, newline='', encoding='utf-8', errors='surrogateescape')
  except OSError as error:
    raise InputError(f'cannot write {path}: {error.strerror}; choose another --output') from None
  with file:
    table = csv.DictWriter(file, COLUMNS, lineterminator='\n')
    as_json = path.suffix == '.jsonl'
    if not as_json and not path.stat().st_size:
      table.writeheader()
      file.flush()

    def write(p: Prediction) -> None:
      row, known = p._asdict(), not math.isnan(p.score)
      if as_json:
        row |= {'score': p.score if known else None, 'seconds': round(p.seconds, 4)}
        file.write(json.dumps(row) + '\n')
      else:
        row |= {'score': f'{p.score:.8g}' if known else '', 'seconds': f'{p.seconds:.4f}'}
        table.writerow(row)
      file.flush()

    yield write


def read_rows(table: Path) -> list[dict[str, Any]]:
  """Reads the rows of a table that an earlier `watch` wrote; none if there is no table.

  Raises:
    InputError: if the file is no such table, or has other columns.
  """
  if not table.exists():
    return []
  with table.open(newline='', encoding='utf-8', errors='surrogateescape') as file:
    text = file.read()
  advice = 'move it away or choose another --output'
  if not text:
    return []
  try:
    if table.suffix == '.jsonl':
      rows = [json.loads(line) for line in text.removesuffix('\n').split('\n')]
      columns = [*rows[0]]
    else:
      columns, *values = csv.reader(io.StringIO(text))
      rows = [dict(zip(columns, row, strict=True)) for row in values]
    if not text.endswith('\n') or not all('path' in row for row in (columns, *rows)):
      raise ValueError
  except (ValueError, TypeError, csv.Error):
    raise InputError(f'{table} is not a table of predictions, or is truncated; {advice}') from None
  if tuple(columns) != COLUMNS:
    raise InputError(
      f'{table} has the columns {", ".join(columns)}, but this version writes '
      f'{", ".join(COLUMNS)}; {advice}'
    )
  return rows
