"""Rows of results, one JSON line each, in a file that an interrupted command continues."""

import fcntl
import json
import traceback
from pathlib import Path
from typing import Any

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.training.log import read_lines

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
  """The rows of a file, without a last one that was cut off; none if there is no file."""
  return read_lines(path)


def find(path: Path, **fields: Any) -> Row | None:
  """The first row of a file that has these values."""
  return next((row for row in read(path) if fields.items() <= row.items()), None)


def append(path: Path, row: Row) -> None:
  """Adds a row after the last complete one; other processes may add to the file meanwhile."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open('a+b') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0)
    file.truncate(file.read().rfind(b'\n') + 1)
    file.write(json.dumps(row).encode() + b'\n')


def reason_of(error: Exception) -> str:
  """An error in one line; one that no user can mend is printed in full, too."""
  if not isinstance(error, InputError):
    traceback.print_exception(error)
  return str(error).strip().partition('\n')[0] or type(error).__name__
