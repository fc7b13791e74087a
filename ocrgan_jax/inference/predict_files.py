"""Scores photographs, given as files, folders and patterns, and writes a table."""

import glob
import heapq
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import check_writable
from ocrgan_jax.data.examples import IMAGE_SUFFIXES
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.prediction import Prediction, format_line
from ocrgan_jax.inference.sheet import write_sheet
from ocrgan_jax.inference.shift import warn_if_shifted
from ocrgan_jax.inference.tables import write_table
from ocrgan_jax.inference.watching import watch

WORST = 10  # number of images to print


def find_images(arguments: Sequence[str], excluded: Path | None = None) -> list[Path]:
  """Finds the image files for paths, folders and patterns, each file once.

  Args:
    arguments: of the command line. Files may have any extension.
    excluded: a folder to skip, except for files that are named one by one.

  Returns:
    The files, sorted by name within each folder or pattern.

  Raises:
    InputError: if an argument matches no image.
  """
  found: dict[Path, None] = {}
  for argument in arguments:
    path = Path(argument)
    if path.is_file():
      files = [path]
    elif path.is_dir():
      files = sorted(p for p in path.rglob('*') if p.suffix.lower() in IMAGE_SUFFIXES)
    else:
      files = sorted(Path(p) for p in glob.glob(argument, recursive=True) if Path(p).is_file())
    if excluded and not path.is_file():
      files = [file for file in files if excluded.absolute() not in file.absolute().parents]
    if not files:
      raise InputError(
        f'no images at {argument}; give image files, folders of them ({", ".join(IMAGE_SUFFIXES)}) '
        'or a pattern'
      )
    found |= dict.fromkeys(files)
  return list(found)


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
  folder = output.with_name(f'{output.stem}_maps')
  folders = [Path(argument) for argument in arguments]
  if keep_watching and not all(path.is_dir() for path in folders):
    raise InputError('--watch needs folders: give existing folders after the flags')
  if maps:
    check_writable(folder / 'index.html', '--output')
  paths = [] if keep_watching else find_images(arguments, excluded=folder)
  scorer = load(workdir, protocol=protocol)
  limit = scorer.calibration.limit if threshold is None else threshold
  drawn_in = folder if maps else None
  if keep_watching:
    anomalous, unreadable = watch(scorer, folders, output, folder, threshold=limit, maps=drawn_in)
    print(f'\n{anomalous} anomalous; table: {output}')
    return anomalous, unreadable
  start = time.perf_counter()
  worst: list[tuple[float, int, Prediction]] = []
  kept: list[Prediction] = []
  anomalous = unreadable = 0
  found = warn_if_shifted(
    scorer.stream_files(paths, threshold=limit, maps=drawn_in), scorer.calibration
  )
  for number, p in enumerate(write_table(output, found, len(paths))):
    anomalous += p.decision == 'anomalous'
    unreadable += bool(p.error)
    kept += [p] if maps else []
    if not p.error:
      add = heapq.heappush if len(worst) < WORST else heapq.heappushpop
      add(worst, (p.score, -number, p))
  rate = len(paths) / (time.perf_counter() - start)
  width = max((len(p.path) for *_, p in worst), default=0)
  print('\n'.join(format_line(p, width) for *_, p in sorted(worst, reverse=True)))
  print(
    f'{len(paths)} images, {anomalous} anomalous (score over {limit:.3f}; held-out sound images '
    f'reach 1), {rate:.1f} images/s'
  )
  if unreadable:
    print(f'warning: {unreadable} could not be read; see the column error', file=sys.stderr)
  print(f'table: {output}')
  if drawn_in:
    print(f'pictures: {write_sheet(drawn_in, kept, limit)}')
  return anomalous, unreadable
