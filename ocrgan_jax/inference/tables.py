"""Tables of predictions, as CSV or JSON lines."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.prediction import Prediction

COLUMNS = Prediction._fields


def write_table(path: Path, predictions: Iterable[Prediction], count: int) -> Iterator[Prediction]:
  """Writes predictions to a CSV or JSON-lines file, each row as soon as it is known.

  Args:
    path: of the file; JSON lines if it ends with .jsonl.
    predictions: the rows.
    count: number of predictions, for the progress bar.

  Yields:
    The predictions, each once its row is written.

  Raises:
    InputError: before the first image is scored, if the file cannot be written.
  """
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names need not be valid text; surrogateescape keeps their bytes.
    file = path.open('w', newline='', encoding='utf-8', errors='surrogateescape')
  except OSError as error:
    raise InputError(f'cannot write {path}: {error.strerror}; choose another --output') from None
  with file:
    write = row_writer(path, file, header=True)
    for p in tqdm(predictions, 'scoring', count, unit='image', leave=False):
      write(p)
      yield p


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


def row_writer(path: Path, file: IO[str], *, header: bool) -> Callable[[Prediction], None]:
  """Returns the function that writes a row at once, as JSON or CSV by the table's extension."""
  write = json_writer(file) if path.suffix == '.jsonl' else csv_writer(file, header=header)
  file.flush()

  def write_at_once(p: Prediction) -> None:
    write(p)
    file.flush()

  return write_at_once


def csv_writer(file: IO[str], *, header: bool = True) -> Callable[[Prediction], None]:
  """Writes the header, if wanted, and returns the function that writes a row."""
  writer = csv.writer(file, lineterminator='\n')
  if header:
    writer.writerow(COLUMNS)

  def write(p: Prediction) -> None:
    score = '' if math.isnan(p.score) else f'{p.score:.8g}'
    writer.writerow({**p._asdict(), 'score': score, 'seconds': f'{p.seconds:.4f}'}.values())

  return write


def json_writer(file: IO[str]) -> Callable[[Prediction], None]:
  """Returns the function that writes a line; a missing score is null."""

  def write(p: Prediction) -> None:
    score = None if math.isnan(p.score) else p.score
    file.write(json.dumps({**p._asdict(), 'score': score, 'seconds': round(p.seconds, 4)}) + '\n')

  return write
