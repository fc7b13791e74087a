"""The table of watched folders, which is continued when watching starts again."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ocrgan_jax.inference.prediction import Prediction, format_line, printable
from ocrgan_jax.inference.shift import RecentScores
from ocrgan_jax.inference.tables import open_table, read_rows
from ocrgan_jax.scoring.calibration import Calibration

State = tuple[int, int]  # a file's size in bytes, and its time of modification in ns


class WatchedTable:
  """A table that knows which photographs are done.

  Attributes:
    errors: the error of each file's last row, or ''.
    unreadable: paths of the files that cannot be read.
    anomalous: number of images called anomalous since it was opened.
    next_number: of the next picture, so that each has its own.
  """

  def __init__(self, path: Path, calibration: Calibration):
    """Reads the table, if there is one; the calibration is for `RecentScores`.

    Raises:
      InputError: if the table cannot be continued.
    """
    rows = read_rows(path)
    self.errors: dict[str, str] = {row['path']: row['error'] for row in rows}
    self.unreadable: set[str] = set()
    self.anomalous = self.next_number = 0
    for row in rows:
      self._count_row(row['map'])
    self._path, self._done = path, _read_done(path, rows)
    self._recent = RecentScores(calibration)
    self._write: Callable[[Prediction], None]
    self._notes: IO[str]

  @contextlib.contextmanager
  def open(self) -> Iterator[None]:
    """Inside the context, rows can be added."""
    mode = 'a' if self.errors else 'w'
    with open_table(self._path, 'a') as self._write, notes_of(self._path).open(mode) as self._notes:
      yield

  def is_done(self, path: Path, state: State) -> bool:
    """Whether a file was scored in this state."""
    return self._done.get(str(path)) == state

  def add(self, p: Prediction, state: State) -> None:
    """Writes and prints the row of a file, unless it would repeat that it cannot be read."""
    if p.error:
      self.unreadable.add(p.path)
      if self.errors.get(p.path) == p.error:
        return
    self.errors[p.path] = p.error
    self._write(p)
    self._count_row(p.map)
    line = f'{"":10}unreadable {p.path}: {p.error}' if p.error else format_line(p)
    print(printable(line), flush=True)
    if p.error:
      return
    self.unreadable.discard(p.path)
    self.anomalous += p.decision == 'anomalous'
    self._done[p.path] = state
    self._notes.write(json.dumps([p.path, *state]) + '\n')
    self._notes.flush()
    if warning := self._recent.add(p.score):
      print(f'warning: {warning}', file=sys.stderr)

  def _count_row(self, picture: str) -> None:
    number = Path(picture).name.partition('_')[0]
    self.next_number = max(self.next_number, int(number) if number.isdecimal() else 0) + 1


def notes_of(table: Path) -> Path:
  """The file beside a table that has the state in which each photograph was scored."""
  return table.with_name(f'.{table.name}.seen')


def state_of(path: Path) -> State:
  """The state of a file, which differs after every change."""
  status = path.stat()
  return status.st_size, status.st_mtime_ns


def _read_done(table: Path, rows: list[dict[str, Any]]) -> dict[str, State]:
  """In which state the photographs of a table were scored.

  The notes say so. Without a note, as in a table of `ocrgan predict` without --watch, a photograph
  is done if it is no newer than the table.
  """
  noted: dict[str, State] = {}
  if rows and notes_of(table).exists():
    for line in notes_of(table).read_text().splitlines():
      with contextlib.suppress(ValueError, TypeError):  # an interrupted line
        path, size, modified = json.loads(line)
        noted[path] = size, modified
  done = {}
  for path in {row['path'] for row in rows if not row['error']}:
    with contextlib.suppress(OSError):  # it was deleted
      state = noted.get(path) or state_of(Path(path))
      if path in noted or state[1] <= table.stat().st_mtime_ns:
        done[path] = state
  return done
