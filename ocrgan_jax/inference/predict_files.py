"""Scores photographs, given as files, folders and patterns, and writes a table."""

import contextlib
import glob
import heapq
import itertools
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import MAPS, check_writable, is_output, mark_output
from ocrgan_jax.data.examples import (
  IMAGE_SUFFIXES,
  NAMED,
  Found,
  is_written,
  left_out,
  look_into,
  unique,
)
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.prediction import Prediction, explain, format_line, printable
from ocrgan_jax.inference.sheet import write_sheet
from ocrgan_jax.inference.shift import warn_if_shifted
from ocrgan_jax.inference.tables import write_table
from ocrgan_jax.inference.watching import watch

WORST = 10  # number of images to print
FEW = 3  # so few images are explained in several lines


def find_images(arguments: Sequence[str]) -> list[Path]:
  """Finds the image files for paths, folders and patterns, each file once.

  Says on stderr what is left out of the folders; see `data.examples.look_into`.

  Args:
    arguments: of the command line. Files may have any extension.

  Returns:
    The files, sorted by name within each folder or pattern.

  Raises:
    InputError: if an argument matches no image.
  """
  found: list[Path] = []
  named = []  # pictures of ours that the user named
  for argument in arguments:
    path, told = Path(argument), ''
    if path.is_dir():
      inside = look_into(path)
      files, lines = inside.images, left_out(path, inside)
      told = ''.join(f'; {line}' for line in lines)
      if files:
        _warn(lines)
    elif path.is_file():
      files = [path]
    else:
      files = _matches(argument)
    if not files:
      raise InputError(
        f'no images at {argument}; give image files, folders of them ({", ".join(IMAGE_SUFFIXES)}) '
        f'or a pattern{told}'
      )
    if is_written(path if path.exists() else _fixed_part(argument)):
      named.append(argument)
    found += files
  if named:
    more = f' and {len(named) - 1} more' if len(named) > 1 else ''
    print(f'{named[0]}{more}: written by ocrgan, taken because you name it', file=sys.stderr)
  return unique(found)


def _matches(pattern: str) -> list[Path]:
  """The files of a pattern, sorted, without what commands wrote below its first wildcard."""
  fixed = _fixed_part(pattern)
  files = sorted(Path(p) for p in glob.glob(pattern, recursive=True) if Path(p).is_file())
  written = {file for file in files if is_written(file, fixed)}
  _warn(left_out(fixed, Found([], [], sorted(written), [])))
  return [file for file in files if file not in written]


def _fixed_part(pattern: str) -> Path:
  """The folder that a pattern names before its first wildcard."""
  parts = Path(pattern).parts
  return Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))


def _warn(lines: Sequence[str]) -> None:
  for line in lines:
    print(f'warning: {line}', file=sys.stderr)


def predict_files(
  workdir: str | Path,
  arguments: Sequence[str],
  output: Path,
  *,
  protocol: str = 'last',
  threshold: float | None = None,
  maps: bool = False,
  keep_watching: bool = False,
) -> tuple[int, int]:
  """Scores photographs, writes a table and prints the most anomalous ones.

  Args:
    workdir: the run's folder.
    arguments: files, folders and patterns.
    output: the table: CSV, or JSON lines if it ends with .jsonl.
    protocol: which checkpoint: 'last' or 'validation'.
    threshold: scaled score above which an image is anomalous; by default the model's.
    maps: whether to draw pictures, into the folder <output>_maps.
    keep_watching: whether to keep scoring new images in the folders until interrupted.

  Returns:
    The numbers of anomalous and of unreadable images.

  Raises:
    InputError: if the run, the arguments or the output cannot be used.
  """
  if not arguments:
    raise InputError('no images given: give files, folders or patterns after the flags')
  if threshold is not None and not math.isfinite(threshold):
    raise InputError(f'--threshold is {threshold}; it must be a finite number')
  check_writable(output, '--output')
  folder = output.with_name(f'{output.stem}{MAPS}')
  folders = [Path(argument) for argument in arguments]
  if keep_watching and not all(path.is_dir() for path in folders):
    raise InputError('--watch needs folders: give existing folders after the flags')
  if maps:
    check_writable(folder / 'index.html', '--output')
  if folder.is_dir() and not is_output(folder):  # from an earlier version
    with contextlib.suppress(InputError):
      mark_output(folder)
  paths = [] if keep_watching else find_images(arguments)
  scorer = load(workdir, protocol=protocol)
  limit = scorer.calibration.limit if threshold is None else threshold
  drawn_in = folder if maps else None
  if maps:
    mark_output(folder)
  if keep_watching:
    anomalous, unreadable = watch(scorer, folders, output, threshold=limit, maps=drawn_in)
    print(f'\n{anomalous} anomalous; table: {output}')
    return anomalous, unreadable
  start = time.perf_counter()
  worst: list[tuple[float, int, Prediction]] = []
  kept: list[Prediction] = []
  anomalous = unreadable = 0
  found = warn_if_shifted(
    scorer.stream_files(paths, threshold=limit, maps=drawn_in), scorer.calibration
  )
  done = 0
  faults: list[Prediction] = []
  try:
    for p in write_table(output, found, len(paths)):
      done += 1
      anomalous += p.decision == 'anomalous'
      kept += [p] if maps else []
      if p.error:
        unreadable += 1
        faults += [p] if len(faults) < NAMED else []
      else:
        add = heapq.heappush if len(worst) < WORST else heapq.heappushpop
        add(worst, (p.score, -done, p))
  except BaseException:
    if done < len(paths):
      print(f'{output} has {done} of {len(paths)} rows', file=sys.stderr)
    raise
  rate = len(paths) / (time.perf_counter() - start)
  width = max((len(p.path) for *_, p in worst), default=0)
  shown = [p for *_, p in sorted(worst, reverse=True)]
  few = len(paths) <= FEW
  print('\n'.join(explain(p, limit) if few else format_line(p, width) for p in shown))
  print(
    f'{len(paths)} images, {anomalous} anomalous (score over {limit:.3f}; held-out sound images '
    f'reach 1), {rate:.1f} images/s'
  )
  if unreadable:
    named = ', '.join(printable(f'{p.path} ({p.error})') for p in faults)
    more = ' …' if unreadable > len(faults) else ''
    print(
      f'warning: {unreadable} could not be read; see the column error: {named}{more}',
      file=sys.stderr,
    )
  print(f'table: {output}')
  if drawn_in:
    print(f'pictures: {write_sheet(drawn_in, kept, limit)}')
  return anomalous, unreadable
