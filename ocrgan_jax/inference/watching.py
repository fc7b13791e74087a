"""Watches folders and scores the photographs that are added to them or change."""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.signals import Interrupted
from ocrgan_jax.data.examples import image_files, left_out, look_into, unique
from ocrgan_jax.inference.prediction import Prediction, format_line, printable
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.shift import RecentScores
from ocrgan_jax.inference.tables import read_rows, row_writer

SECONDS = 0.5  # between two scans of the folders
# Before an unreadable file is tried again; its row is written only after the last of them.
PAUSES = (0.5, 1.0, 2.0, 4.0)
LATER = 60.0  # between the trials after that; seconds

State = tuple[int, int]  # a file's size in bytes, and its time of modification in ns


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


def scan(folders: list[Path]) -> dict[Path, State]:
  """The state of each image file in the folders; see `data.examples.look_into`.

  It polls because network drives send no change notifications.
  """
  found = {}
  for path in unique([path for folder in folders for path in image_files(folder)]):
    with contextlib.suppress(OSError):  # deleted or renamed in the meantime
      state = path.stat()
      found[path] = state.st_size, state.st_mtime_ns
  return found


def notes_of(table: Path) -> Path:
  """The file beside a table that has the state in which each photograph was scored."""
  return table.with_name(f'.{table.name}.seen')


def read_notes(table: Path, rows: list[dict[str, Any]]) -> dict[str, State | None]:
  """Reads in which state photographs were scored before.

  Args:
    table: their table.
    rows: its rows.

  Returns:
    Path → state. None if it is not noted, as by earlier versions.
  """
  done: dict[str, State | None] = {row['path']: None for row in rows if not row['error']}
  if rows and notes_of(table).exists():
    for line in notes_of(table).read_text().splitlines():
      with contextlib.suppress(ValueError, TypeError):  # an interrupted line
        path, size, modified = json.loads(line)
        if path in done:
          done[path] = size, modified
  return done


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
  rows = read_rows(output)
  done = read_notes(output, rows)
  since = output.stat().st_mtime_ns if rows else 0
  faults = {row['path']: row['error'] for row in rows}  # of the last row of each
  for folder in folders:
    for line in left_out(folder, look_into(folder)):
      print(f'warning: {line}', file=sys.stderr)
  anomalous, unreadable, recent = 0, set(), RecentScores(scorer.calibration)
  failed: dict[Path, Failure] = {}
  before: dict[Path, State] = {}
  now: dict[Path, State] = {}
  stop: BaseException | None = None
  trouble = ''
  output.parent.mkdir(parents=True, exist_ok=True)
  with contextlib.ExitStack() as stack:
    file = stack.enter_context(
      output.open('a', newline='', encoding='utf-8', errors='surrogateescape')
    )
    notes = stack.enter_context(notes_of(output).open('a' if rows else 'w'))
    write = row_writer(output, file, header=not output.stat().st_size)

    def is_done(path: Path, state: State) -> bool:
      if str(path) in done and done[str(path)] is None and state[1] <= since:
        done[str(path)] = state
      return done.get(str(path)) == state

    def put_down(p: Prediction) -> None:
      """Writes a row, unless it would repeat that the file cannot be read."""
      nonlocal anomalous
      if p.error:
        unreadable.add(p.path)
        if faults.get(p.path) == p.error:
          return
      else:
        unreadable.discard(p.path)
      faults[p.path] = p.error
      write(p)
      anomalous += p.decision == 'anomalous'
      line = format_line(p) if not p.error else f'{"":10}unreadable {p.path}: {p.error}'
      print(printable(line), flush=True)
      if not p.error and (warning := recent.add(p.score)):
        print(f'warning: {warning}', file=sys.stderr)

    if rows:
      print(
        f'{output} already has {len(faults)} images; those that have not changed are skipped',
        file=sys.stderr,
      )
    number = next_number(rows)
    print(f'waiting for photographs in {", ".join(map(str, folders))} (Ctrl-C stops)', flush=True)
    try:
      while True:
        before = now
        try:
          now, trouble = scan(folders), ''
        except InputError as error:  # a folder that could be read before
          if str(error) != trouble:
            print(f'warning: {error}', file=sys.stderr)
          now, trouble = {}, str(error)
        failed = {path: failure for path, failure in failed.items() if path in now}
        # What could not be read before comes last, so that pictures are numbered as rows are.
        ordered = sorted(now, key=lambda path: (bool(faults.get(str(path))), now[path][1]))
        due = [
          path
          for path in ordered
          if before.get(path) == now[path]
          and not is_done(path, now[path])
          and (path not in failed or may_retry(failed[path], now[path]))
        ]
        found = scorer.stream_files(due, first=number, **options) if due else ()
        for own, (path, p) in enumerate(zip(due, found, strict=True), number):
          if p.map or not (path in failed or faults.get(str(path))):
            number = own + 1
          if p.error:
            failed[path] = count_failure(failed.get(path), now[path], p)
            if failed[path].trials > len(PAUSES):
              put_down(p)
            continue
          failed.pop(path, None)
          put_down(p)
          done[str(path)] = now[path]
          notes.write(json.dumps([str(path), *now[path]]) + '\n')
          notes.flush()
        time.sleep(SECONDS)
    except (KeyboardInterrupt, Interrupted) as signal:
      stop = signal
    for failure in failed.values():
      put_down(failure.row)
  rest = [path for path, state in now.items() if not is_done(path, state) and path not in failed]
  if rest:
    more = ' …' if len(rest) > 3 else ''
    print(
      f'{len(rest)} file(s) not scored yet: {", ".join(map(str, rest[:3]))}{more}', file=sys.stderr
    )
  if isinstance(stop, Interrupted):
    raise stop
  return anomalous, len(unreadable)


def may_retry(failure: Failure, state: State) -> bool:
  """Whether to try a file again: it has changed, or has waited long enough."""
  return failure.state != state or failure.again <= time.monotonic()


def count_failure(before: Failure | None, state: State, row: Prediction) -> Failure:
  """Counts another failure to read a file."""
  trials = 1 + (before.trials if before and before.state == state else 0)
  pause = PAUSES[trials - 1] if trials <= len(PAUSES) else LATER
  return Failure(state, trials, time.monotonic() + pause, row)


def next_number(rows: list[dict[str, Any]]) -> int:
  """The number of the next picture, after those of a table."""
  taken = [Path(row['map']).name.partition('_')[0] for row in rows if row['map']]
  return max([len(rows), *(int(number) + 1 for number in taken if number.isdecimal())])
