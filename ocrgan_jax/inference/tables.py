"""Tables of predictions, as CSV or JSON lines."""

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from tqdm import tqdm

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.prediction import Prediction

COLUMNS = Prediction._fields


def write_table(path: Path, predictions: Iterable[Prediction], count: int) -> Iterator[Prediction]:
  """Writes predictions to a CSV or JSON-lines file, which appears only once it is complete.

  Args:
    path: of the file; JSON lines if it ends with .jsonl.
    predictions: the rows.
    count: number of predictions, for the progress bar.

  Yields:
    The predictions.

  Raises:
    InputError: before the first image is scored, if the file cannot be written.
  """
  partial = path.with_name(f'.{path.name}.partial')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names need not be valid text; surrogateescape keeps their bytes.
    file = partial.open('w', newline='', encoding='utf-8', errors='surrogateescape')
  except OSError as error:
    raise InputError(f'cannot write {path}: {error.strerror}; choose another --output') from None
  try:
    with file:
      write = row_writer(path, file, header=True)
      for p in tqdm(predictions, 'scoring', count, unit='image', leave=False):
        write(p)
        yield p
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)


def read_paths(table: Path) -> set[str]:
  """Reads the paths from a table that an earlier `watch` wrote.

  Raises:
    InputError: if the file is no such table.
  """
  if not table.exists():
    return set()
  try:
    with table.open(newline='', encoding='utf-8', errors='surrogateescape') as file:
      rows = map(json.loads, file) if table.suffix == '.jsonl' else csv.DictReader(file)
      return {row['path'] for row in rows}
  except (ValueError, KeyError, TypeError, csv.Error):
    raise InputError(
      f'{table} is not a table of predictions, or is truncated; move it away or choose another '
      '--output'
    ) from None


def row_writer(path: Path, file: IO[str], *, header: bool) -> Callable[[Prediction], None]:
  """Returns the function that writes a row, as JSON or CSV by the table's extension."""
  return json_writer(file) if path.suffix == '.jsonl' else csv_writer(file, header=header)


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
