"""Scores the photographs that are put into a folder, as long as it runs."""

import time
from collections.abc import Iterator
from pathlib import Path

from ocrgan_jax.data.examples import IMAGE_SUFFIXES

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
