"""Scores the photographs that are put into a folder, as long as it runs."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrgan_jax.data.examples import IMAGE_SUFFIXES
from ocrgan_jax.inference.prediction import as_line, printable
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.tables import paths_in, writer_of

SECONDS = 0.5  # between looks at the folder


def arrivals(
  folders: list[Path], done: set[str], besides: Path, seconds: float = SECONDS
) -> Iterator[list[Path]]:
  """Waits for image files that are complete.

  A file is taken for complete when two looks find the same size and time of change. It is
  looked at, not waited for by the system's notices, which network disks do not give.

  Args:
    folders: that are looked at, with all folders in them.
    done: paths that are not wanted; those that were given are added.
    besides: a folder whose files are not wanted.
    seconds: between two looks.

  Yields:
    New files, sorted by time of change; an empty list after a look that found none.
  """
  before: dict[Path, tuple[int, float]] = {}
  while True:
    now: dict[Path, tuple[int, float]] = {}
    for folder in folders:
      for path in folder.rglob('*'):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith('.'):
          continue
        if str(path) in done or besides.absolute() in path.absolute().parents:
          continue
        try:
          state = path.stat()
        except OSError:  # gone, or renamed when it was complete
          continue
        now[path] = (state.st_size, state.st_mtime)
    complete = [path for path, state in now.items() if before.get(path) == state]
    complete.sort(key=lambda path: now[path][1])
    before = now
    done.update(map(str, complete))
    yield complete
    time.sleep(seconds)


def watch(
  scorer: Scorer, folders: list[Path], output: Path, besides: Path, **options: Any
) -> tuple[int, int]:
  """Scores what is put into folders, until it is interrupted; each row is written at once.

  Args:
    scorer: of the model.
    folders: to look at.
    output: the table, which is gone on with if it exists.
    besides: a folder whose files are not looked at: that of the pictures.
    **options: of `predict`.

  Returns:
    The numbers of anomalous and of unreadable images.
  """
  done = paths_in(output)
  output.parent.mkdir(parents=True, exist_ok=True)
  anomalous, unreadable, number = 0, 0, len(done)
  with output.open('a', newline='', encoding='utf-8', errors='surrogateescape') as file:
    write = writer_of(output, file, header=not output.stat().st_size)
    if done:
      print(f'{len(done)} images are in {output} already', file=sys.stderr)
    print(f'waiting for photographs in {", ".join(map(str, folders))} (Ctrl-C ends)', flush=True)
    with contextlib.suppress(KeyboardInterrupt):
      for paths in arrivals(folders, done, besides):
        for p in scorer.stream_files(paths, first=number, **options) if paths else ():
          number += 1
          write(p)
          file.flush()
          anomalous += p.decision == 'anomalous'
          unreadable += bool(p.error)
          line = as_line(p) if not p.error else f'{"":10}unreadable {p.path}: {p.error}'
          print(printable(line), flush=True)
  return anomalous, unreadable
