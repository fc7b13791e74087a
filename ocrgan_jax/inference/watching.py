"""Watches folders and scores the photographs that are added to them."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrgan_jax.data.examples import IMAGE_SUFFIXES
from ocrgan_jax.inference.prediction import format_line, printable
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.tables import read_paths, row_writer

SECONDS = 0.5  # between two scans of the folders


def new_images(
  folders: list[Path], done: set[str], excluded: Path, seconds: float = SECONDS
) -> Iterator[list[Path]]:
  """Polls folders for complete new image files.

  A file is complete when two scans find the same size and modification time. It polls because
  network drives send no change notifications.

  Args:
    folders: to scan, including subfolders.
    done: paths to skip; yielded files are added to it.
    excluded: a folder to skip.
    seconds: between two scans.

  Yields:
    After each scan the new files, sorted by modification time; the list may be empty.
  """
  before: dict[Path, tuple[int, float]] = {}
  while True:
    now: dict[Path, tuple[int, float]] = {}
    for folder in folders:
      for path in folder.rglob('*'):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith('.'):
          continue
        if str(path) in done or excluded.absolute() in path.absolute().parents:
          continue
        try:
          state = path.stat()
        except OSError:  # deleted or renamed in the meantime
          continue
        now[path] = (state.st_size, state.st_mtime)
    complete = [path for path, state in now.items() if before.get(path) == state]
    complete.sort(key=lambda path: now[path][1])
    before = now
    done.update(map(str, complete))
    yield complete
    time.sleep(seconds)


def watch(
  scorer: Scorer, folders: list[Path], output: Path, excluded: Path, **options: Any
) -> tuple[int, int]:
  """Scores images in folders and those added later, until interrupted; writes each row at once.

  Args:
    scorer: of the model.
    folders: to watch.
    output: the table; if it exists, it is continued.
    excluded: a folder to skip, where the pictures are written.
    **options: of `Scorer.stream_files`.

  Returns:
    The numbers of anomalous and of unreadable images.
  """
  done = read_paths(output)
  output.parent.mkdir(parents=True, exist_ok=True)
  anomalous, unreadable, number = 0, 0, len(done)
  with output.open('a', newline='', encoding='utf-8', errors='surrogateescape') as file:
    write = row_writer(output, file, header=not output.stat().st_size)
    if done:
      print(f'{output} already has {len(done)} images; they are skipped', file=sys.stderr)
    print(f'waiting for photographs in {", ".join(map(str, folders))} (Ctrl-C stops)', flush=True)
    with contextlib.suppress(KeyboardInterrupt):
      for paths in new_images(folders, done, excluded):
        for p in scorer.stream_files(paths, first=number, **options) if paths else ():
          number += 1
          write(p)
          file.flush()
          anomalous += p.decision == 'anomalous'
          unreadable += bool(p.error)
          line = format_line(p) if not p.error else f'{"":10}unreadable {p.path}: {p.error}'
          print(printable(line), flush=True)
  return anomalous, unreadable
