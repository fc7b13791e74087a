"""Scores photographs, given as files, folders and patterns, and writes a table."""

import glob
import itertools
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import MAPS, check_writable, mark_output
from ocrgan_jax.data.examples import (
  IMAGE_SUFFIXES,
  NAMED,
  Found,
  ignored_lines,
  is_written,
  look_into,
  unique,
)
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.prediction import Prediction, format_line, format_lines, printable
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.sheet import write_sheet
from ocrgan_jax.inference.shift import shift_warning
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
      files, lines = inside.images, ignored_lines(path, inside)
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
  _warn(ignored_lines(fixed, Found([], [], sorted(written), [])))
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
  pictures = output.with_name(f'{output.stem}{MAPS}') if maps else None
  if pictures:
    check_writable(pictures / 'index.html', '--output')
  folders = [Path(argument) for argument in arguments]
  if keep_watching and not all(path.is_dir() for path in folders):
    raise InputError('--watch needs folders: give existing folders after the flags')
  paths = [] if keep_watching else find_images(arguments)
  scorer = load(workdir, protocol=protocol)
  limit = scorer.calibration.limit if threshold is None else threshold
  if pictures:
    mark_output(pictures)
  if not keep_watching:
    return _score_all(scorer, paths, output, limit, pictures)
  anomalous, unreadable = watch(scorer, folders, output, threshold=limit, maps=pictures)
  print(f'\n{anomalous} anomalous; table: {output}')
  return anomalous, unreadable


def _score_all(
  scorer: Scorer, paths: list[Path], output: Path, limit: float, pictures: Path | None
) -> tuple[int, int]:
  """Scores photographs, writes the table, and prints a summary and the worst of them."""
  done: list[Prediction] = []
  start = time.perf_counter()
  try:
    found = scorer.stream_files(paths, threshold=limit, maps=pictures)
    for p in write_table(output, found, len(paths)):
      done.append(p)
  except BaseException:
    if len(done) < len(paths):
      print(f'{output} has {len(done)} of {len(paths)} rows', file=sys.stderr)
    raise
  rate = len(done) / (time.perf_counter() - start)
  readable = sorted((p for p in done if not p.error), key=lambda p: -p.score)
  unreadable = [p for p in done if p.error]
  anomalous = sum(p.decision == 'anomalous' for p in readable)
  meaning = f'1 is the highest score among the {scorer.compared_with}'
  if warning := shift_warning(np.array([p.score for p in readable]), scorer.calibration):
    print(f'warning: {warning}', file=sys.stderr)
  worst = readable[:WORST]
  width = max((len(p.path) for p in worst), default=0)
  for p in worst:
    print(format_lines(p, limit, meaning) if len(done) <= FEW else format_line(p, width))
  print(
    f'{len(done)} images, {anomalous} anomalous (score over {limit:.3f}; {meaning}), '
    f'{rate:.1f} images/s'
  )
  if unreadable:
    named = ', '.join(printable(f'{p.path} ({p.error})') for p in unreadable[:NAMED])
    more = ' …' if len(unreadable) > NAMED else ''
    print(
      f'warning: {len(unreadable)} could not be read; see the column error: {named}{more}',
      file=sys.stderr,
    )
  print(f'table: {output}')
  if pictures:
    print(f'pictures: {write_sheet(pictures, readable, unreadable, limit, meaning)}')
  return anomalous, len(unreadable)
