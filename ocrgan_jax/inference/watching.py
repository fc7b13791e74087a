"""Watches folders and scores the photographs that are added to them or change."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.signals import Interrupted
from ocrgan_jax.data.examples import NAMED, ignored_lines, image_files, look_into, unique
from ocrgan_jax.inference.prediction import Prediction
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.watched_table import State, WatchedTable, state_of

SECONDS = 0.5  # between two scans of the folders
# Before an unreadable file is tried again; its row is written only after the last of them.
PAUSES = (0.5, 1.0, 2.0, 4.0)
LATER = 60.0  # between the trials after that; seconds


class Failure(NamedTuple):
  """A file that cannot be read yet.

  Attributes:
    state: of the file when it was tried.
    trials: how often it was tried in this state.
    again: when to try it again, by `time.monotonic`.
    row: what to write if it stays so.
  """

  state: State
  trials: int
  again: float
  row: Prediction


def watch(scorer: Scorer, folders: list[Path], output: Path, **options: Any) -> tuple[int, int]:
  """Scores images in folders and those that arrive or change later, until interrupted.

  A file counts when two scans find it in the same state. One that cannot be read is tried again,
  and gets a row when it stays so. Each row is written at once. It warns when the last photographs
  are unlike those of training.

  Args:
    scorer: of the model.
    folders: to watch.
    output: the table; if it exists, it is continued.
    **options: of `Scorer.stream_files`.

  Returns:
    The number of images called anomalous, and the number of those that could not be read.

  Raises:
    InputError: if the table cannot be continued, or a folder cannot be read at the start.
  """
  table = WatchedTable(output, scorer.calibration)
  for folder in folders:
    for line in ignored_lines(folder, look_into(folder)):
      print(f'warning: {line}', file=sys.stderr)
  if table.errors:
    print(
      f'{output} already has {len(table.errors)} images; those that have not changed are skipped',
      file=sys.stderr,
    )
  with table.open():
    print(f'waiting for photographs in {", ".join(map(str, folders))} (Ctrl-C stops)', flush=True)
    watcher = Watcher(scorer, folders, table, options)
    stop: BaseException | None = None
    try:
      while True:
        watcher.look()
        time.sleep(SECONDS)
    except (KeyboardInterrupt, Interrupted) as signal:
      stop = signal
    watcher.finish()
  if isinstance(stop, Interrupted):
    raise stop
  return table.anomalous, len(table.unreadable)


class Watcher:
  """Finds out, scan by scan, which files are new, changed or to be tried again."""

  def __init__(
    self, scorer: Scorer, folders: list[Path], table: WatchedTable, options: dict[str, Any]
  ):
    self._scorer, self._folders, self._table, self._options = scorer, folders, table, options
    self._now: dict[Path, State] = {}
    self._failed: dict[Path, Failure] = {}
    self._trouble = ''  # why the folders could not be read in the last scan

  def look(self) -> None:
    """Scans the folders once, and scores what is due, the oldest photographs first."""
    before, self._now = self._now, self._scan()
    self._failed = {path: failed for path, failed in self._failed.items() if path in self._now}
    settled = (path for path, state in self._now.items() if before.get(path) == state)
    # What could not be read before comes last, so that pictures are numbered as rows are.
    order = lambda path: (bool(self._table.errors.get(str(path))), self._now[path][1])
    due = sorted(filter(self._is_due, settled), key=order)
    if not due:
      return
    found = self._scorer.stream_files(due, first=self._table.next_number, **self._options)
    for path, p in zip(due, found, strict=True):
      if p.error:
        self._count_failure(path, p)
      else:
        self._failed.pop(path, None)
        self._table.add(p, self._now[path])

  def finish(self) -> None:
    """Writes the rows of what cannot be read, and says which files are not scored yet."""
    for failure in self._failed.values():
      self._table.add(failure.row, failure.state)
    rest = [str(path) for path in self._now if self._is_open(path) and path not in self._failed]
    if rest:
      more = ' …' if len(rest) > NAMED else ''
      print(f'{len(rest)} file(s) not scored yet: {", ".join(rest[:NAMED])}{more}', file=sys.stderr)

  def _scan(self) -> dict[Path, State]:
    """The state of each image file; none, with a warning, if a folder cannot be read any more.

    It polls because network drives send no change notifications.
    """
    trouble, found = '', {}
    try:
      for path in unique([path for folder in self._folders for path in image_files(folder)]):
        with contextlib.suppress(OSError):  # deleted or renamed in the meantime
          found[path] = state_of(path)
    except InputError as error:
      trouble = str(error)
      if trouble != self._trouble:
        print(f'warning: {trouble}', file=sys.stderr)
    self._trouble = trouble
    return found

  def _is_open(self, path: Path) -> bool:
    return not self._table.is_done(path, self._now[path])

  def _is_due(self, path: Path) -> bool:
    failure = self._failed.get(path)
    waits = failure and failure.state == self._now[path] and failure.again > time.monotonic()
    return self._is_open(path) and not waits

  def _count_failure(self, path: Path, row: Prediction) -> None:
    """Tries a file again later; after the last of PAUSES it gets its row."""
    state, before = self._now[path], self._failed.get(path)
    trials = before.trials + 1 if before and before.state == state else 1
    pause = PAUSES[trials - 1] if trials <= len(PAUSES) else LATER
    self._failed[path] = Failure(state, trials, time.monotonic() + pause, row)
    if trials > len(PAUSES):
      self._table.add(row, state)
