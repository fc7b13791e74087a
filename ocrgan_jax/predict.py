"""Scores any photographs: `python -m ocrgan_jax.predict --workdir=… PATH…`.

A path is an image, a folder (searched recursively) or a pattern. Images are streamed,
so any number of them takes the same memory. The table is written as CSV or, to a name
that ends with .jsonl, as JSON lines. With --maps the folder <output>_maps gets each
photograph with its anomaly map and verdict, and index.html, which shows them from the
most to the least anomalous one.

With --watch it scores what is in the folders and what is put into them later, and writes each row
at once.

The exit status is 0, 1 for errors, and with --fail-on-anomaly 2 if any image is
anomalous and 3 if any image could not be read.
"""

import contextlib
import csv
import glob
import heapq
import json
import math
import os
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from absl import flags
from tqdm import tqdm

from ocrgan_jax import command_line, overlay, pages
from ocrgan_jax.data.examples import IMAGE_SUFFIXES
from ocrgan_jax.errors import InputError
from ocrgan_jax.prediction import Prediction, predict
from ocrgan_jax.scorer import Scorer, load
from ocrgan_jax.watching import arrivals
from ocrgan_jax.writer import check_writable, write_text

ANOMALY_STATUS, UNREADABLE_STATUS = 2, 3
COLUMNS = Prediction._fields
WORST = 10  # images that the command names


def find_images(arguments: list[str], besides: Path | None = None) -> list[Path]:
  """Finds the image files for paths, folders and patterns, each file once.

  Args:
    arguments: of the command line. Files may have any extension.
    besides: a folder whose files are left out where they are not named one by one.

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
    if besides and not path.is_file():
      files = [file for file in files if besides.absolute() not in file.absolute().parents]
    if not files:
      raise InputError(
        f'no images at {argument}; give image files, folders of them ({", ".join(IMAGE_SUFFIXES)}) '
        'or a pattern'
      )
    found |= dict.fromkeys(files)
  return list(found)


def write_table(path: Path, predictions: Iterable[Prediction], count: int) -> Iterator[Prediction]:
  """Writes predictions to a CSV or JSON-lines file, which appears only when it is complete.

  Args:
    path: of the file; JSON lines if it ends with .jsonl.
    predictions: from `predict`.
    count: number of predictions, for the progress bar.

  Yields:
    The predictions.

  Raises:
    InputError: if the file cannot be written, before the first image is scored.
  """
  partial = path.with_name(f'.{path.name}.partial')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names need not be text: what is none is kept as it is.
    file = partial.open('w', newline='', encoding='utf-8', errors='surrogateescape')
  except OSError as error:
    raise InputError(f'cannot write {path}: {error.strerror}; choose another --output') from None
  try:
    with file:
      write = writer_of(path, file, header=True)
      for p in tqdm(predictions, 'scoring', count, unit='image', leave=False):
        write(p)
        yield p
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)


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
        for p in predict(scorer, paths, first=number, **options) if paths else ():
          number += 1
          write(p)
          file.flush()
          anomalous += p.decision == 'anomalous'
          unreadable += bool(p.error)
          line = worst_lines([p])[0] if not p.error else f'{"":10}unreadable {p.path}: {p.error}'
          print(printable(line), flush=True)
  return anomalous, unreadable


def paths_in(table: Path) -> set[str]:
  """The paths in a table that `watch` wrote before.

  Raises:
    InputError: if it did not write it.
  """
  if not table.exists():
    return set()
  try:
    with table.open(newline='', encoding='utf-8', errors='surrogateescape') as file:
      rows = map(json.loads, file) if table.suffix == '.jsonl' else csv.DictReader(file)
      return {row['path'] for row in rows}
  except (ValueError, KeyError, TypeError, csv.Error):
    raise InputError(
      f'{table} is no table of predictions, or was cut short; move it away or choose another '
      '--output'
    ) from None


def writer_of(path: Path, file: IO[str], *, header: bool) -> Callable[[Prediction], None]:
  """The function that writes a row, in the form that the name of the table asks for."""
  return json_writer(file) if path.suffix == '.jsonl' else csv_writer(file, header=header)


def csv_writer(file: IO[str], *, header: bool = True) -> Callable[[Prediction], None]:
  """Writes the header, and gives the function that writes a row."""
  writer = csv.writer(file, lineterminator='\n')
  if header:
    writer.writerow(COLUMNS)

  def write(p: Prediction) -> None:
    score = '' if math.isnan(p.score) else f'{p.score:.8g}'
    writer.writerow([p.path, score, p.decision, f'{p.seconds:.4f}', p.error, p.map])

  return write


def json_writer(file: IO[str]) -> Callable[[Prediction], None]:
  """Gives the function that writes a line; a score that there is not is null."""

  def write(p: Prediction) -> None:
    score = None if math.isnan(p.score) else p.score
    file.write(json.dumps({**p._asdict(), 'score': score, 'seconds': round(p.seconds, 4)}) + '\n')

  return write


def write_sheet(folder: Path, predictions: list[Prediction], limit: float) -> Path:
  """Writes a page of all pictures, from the most to the least anomalous image.

  Args:
    folder: of the pictures.
    predictions: of the images; those that could not be read come first.
    limit: the scaled score above which images are anomalous.

  Returns:
    The page's path.
  """
  page = pages.render(
    'sheet',
    unreadable=[p for p in predictions if p.error],
    shown=sorted((p for p in predictions if p.map), key=lambda p: -p.score),
    limit=limit,
    faint=overlay.FAINT,
    full=overlay.FULL,
    short=lambda p: '/'.join(Path(p.path).parts[-2:]),
    link=lambda p: urllib.parse.quote(os.fsencode(Path(p.map).name)),
  )
  write_text(folder / 'index.html', page)
  return folder / 'index.html'


def printable(text: str) -> str:
  """A text with marks for what is none: file names can be any bytes."""
  return text.encode('utf-8', 'replace').decode()


def worst_lines(predictions: list[Prediction]) -> list[str]:
  """The worst images as lines of a table."""
  width = min(70, max((len(p.path) for p in predictions), default=0))
  shorten = lambda path: path if len(path) <= width else '…' + path[1 - width :]
  return [f'{p.score:8.2f}  {p.decision:9}  {printable(shorten(p.path))}' for p in predictions]


def main(arguments: list[str]) -> int:
  """Runs the command."""
  values = flags.FLAGS
  if not arguments:
    raise InputError('no images given: give files, folders or patterns after the flags')
  if values.threshold is not None and not math.isfinite(values.threshold):
    raise InputError(f'--threshold is {values.threshold}; it must be a number')
  output = Path(values.output)
  check_writable(output, '--output')
  folder = output.with_name(f'{output.stem}_maps')
  folders = [Path(argument) for argument in arguments]
  if values.watch and not all(path.is_dir() for path in folders):
    raise InputError('--watch looks at folders: give folders that exist after the flags')
  if values.maps:
    check_writable(folder / 'index.html', '--output')
  paths = [] if values.watch else find_images(arguments, besides=folder)
  scorer = load(values.workdir, protocol=values.protocol)
  limit = scorer.calibration.limit if values.threshold is None else values.threshold
  maps = folder if values.maps else None
  if values.watch:
    anomalous, unreadable = watch(scorer, folders, output, folder, threshold=limit, maps=maps)
    print(f'\n{anomalous} anomalous; table: {output}')
    return status(anomalous, unreadable)
  start = time.perf_counter()
  worst: list[tuple[float, int, Prediction]] = []
  kept: list[Prediction] = []
  anomalous = unreadable = 0
  found = predict(scorer, paths, threshold=limit, maps=maps)
  for number, p in enumerate(write_table(output, found, len(paths))):
    anomalous += p.decision == 'anomalous'
    unreadable += bool(p.error)
    kept += [p] if maps else []
    if not p.error:
      add = heapq.heappush if len(worst) < WORST else heapq.heappushpop
      add(worst, (p.score, -number, p))
  rate = len(paths) / (time.perf_counter() - start)
  print('\n'.join(worst_lines([p for *_, p in sorted(worst, reverse=True)])))
  print(
    f'{len(paths)} images, {anomalous} anomalous (score over {limit:.3f}; sound images that '
    f'were held out reach 1), {rate:.1f} images/s'
  )
  if unreadable:
    print(f'warning: {unreadable} could not be read, see the column error', file=sys.stderr)
  print(f'table: {output}')
  if maps:
    print(f'pictures: {write_sheet(maps, kept, limit)}')
  return status(anomalous, unreadable)


def status(anomalous: int, unreadable: int) -> int:
  """The exit status."""
  if not flags.FLAGS['fail-on-anomaly'].value:
    return 0
  return UNREADABLE_STATUS if unreadable else ANOMALY_STATUS if anomalous else 0


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.DEFINE_string('output', 'scores.csv', 'file for the table, .csv or .jsonl')
  flags.DEFINE_float(
    'threshold', None, "score above which an image is anomalous, by default the model's"
  )
  flags.DEFINE_bool('maps', False, 'draw maps and verdicts on the photographs, into <output>_maps')
  flags.DEFINE_bool('watch', False, 'go on with what is put into the folders, until Ctrl-C')
  flags.DEFINE_bool(
    'fail-on-anomaly',
    False,
    f'exit with {ANOMALY_STATUS} if any image is anomalous, with {UNREADABLE_STATUS} if any '
    'could not be read',
  )
  flags.mark_flag_as_required('workdir')
  command_line.run(main, takes_arguments=True)
