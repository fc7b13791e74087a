"""Scores any images: `python -m ocrgan_jax.predict --workdir=… PATH…`.

A path is an image, a folder (searched recursively) or a pattern. Images are streamed,
so any number of them takes the same memory. The exit status is 0, 1 for errors, and
with --fail-on-anomaly 2 if any image is anomalous.
"""

import csv
import glob
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from tqdm import tqdm

from ocrgan_jax import command_line
from ocrgan_jax.data.examples import IMAGE_SUFFIXES
from ocrgan_jax.data.pipeline import decode_files
from ocrgan_jax.errors import InputError
from ocrgan_jax.figures import overlaid
from ocrgan_jax.scorer import Scorer, load
from ocrgan_jax.writer import write_image

ANOMALY_STATUS = 2
COLUMNS = ('path', 'score', 'scaled_score', 'decision', 'seconds', 'error', 'map')


class Prediction(NamedTuple):
  """The result for one image.

  Attributes:
    path: as given.
    score: raw anomaly score; NaN if the image could not be read.
    scaled_score: 0 to 1 over held-out normal images.
    decision: 'normal', 'anomalous', or '' if the image could not be read.
    seconds: time per image of its batch, reading included.
    error: why the image could not be read, or ''.
    map: file with the anomaly map drawn over the image, or ''.
  """

  path: str
  score: float
  scaled_score: float
  decision: str
  seconds: float
  error: str
  map: str = ''


def predict(
  scorer: Scorer,
  paths: Iterable[Path | str],
  *,
  threshold: float | None = None,
  maps: Path | None = None,
) -> Iterator[Prediction]:
  """Scores image files in constant memory.

  Args:
    scorer: from `scorer.load`.
    paths: image files.
    threshold: raw score above which an image is anomalous; by default the model's.
    maps: folder for pictures of the anomaly maps over the images, if wanted.

  Yields:
    One prediction per path, in order. For an unreadable file it holds the error.
  """
  outputs = ('score', 'map') if maps else ('score',)
  done = 0
  limit = scorer.calibration.threshold if threshold is None else threshold
  size = scorer.config.image_size
  decoded = decode_files(list(paths), size, scorer.config.data.max_megapixels)
  start = time.perf_counter()
  while batch := list(itertools.islice(decoded, scorer.batch_size)):
    images = np.zeros((len(batch), size, size, 3), np.uint8)
    for i, (_, image, _) in enumerate(batch):
      if image is not None:
        images[i] = image
    values = scorer.score_batch(images, outputs)
    scores, scaled = values['score'], scorer.scale(values['score'])
    drawn = [''] * len(batch)
    for i, (path, image, _) in enumerate(batch):
      if maps and image is not None:
        # The number distinguishes images with the same name in different folders.
        drawn[i] = str(maps / f'{done + i:06}_{Path(path).stem}.png')
        picture = overlaid(image, values['map'][i], scorer.calibration.map_maximum)
        write_image(Path(drawn[i]), picture)
    done += len(batch)
    now = time.perf_counter()
    seconds, start = (now - start) / len(batch), now
    for (path, image, error), score, value, drawing in zip(
      batch, scores, scaled, drawn, strict=True
    ):
      if image is None:
        yield Prediction(str(path), np.nan, np.nan, '', seconds, error)
      else:
        decision = 'anomalous' if score > limit else 'normal'
        yield Prediction(str(path), float(score), float(value), decision, seconds, '', drawing)


def find_images(arguments: list[str]) -> list[Path]:
  """Finds the image files for paths, folders and patterns, each file once.

  Args:
    arguments: of the command line. Files may have any extension.

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
    if not files:
      raise InputError(
        f'no images at {argument}; give image files, folders of them ({", ".join(IMAGE_SUFFIXES)}) '
        'or a pattern'
      )
    found |= dict.fromkeys(files)
  return list(found)


def write_table(path: Path, predictions: Iterator[Prediction], count: int) -> tuple[int, int]:
  """Writes predictions to a CSV file, which appears only when it is complete.

  Args:
    path: of the file.
    predictions: from `predict`.
    count: number of predictions, for the progress bar.

  Returns:
    The numbers of anomalous and of unreadable images.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f'.{path.name}.partial')
  anomalous = unreadable = 0
  try:
    with partial.open('w', newline='', encoding='utf-8') as file:
      writer = csv.writer(file, lineterminator='\n')
      writer.writerow(COLUMNS)
      for p in tqdm(predictions, 'scoring', count, unit='image', leave=False):
        number = lambda x, form: '' if np.isnan(x) else format(x, form)
        scores = number(p.score, '.8g'), number(p.scaled_score, '.6g')
        writer.writerow([p.path, *scores, p.decision, f'{p.seconds:.4f}', p.error, p.map])
        anomalous += p.decision == 'anomalous'
        unreadable += bool(p.error)
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)
  return anomalous, unreadable


def main(arguments: list[str]) -> int:
  """Runs the command."""
  values = flags.FLAGS
  if not arguments:
    raise InputError('no images given: give files, folders or patterns after the flags')
  paths = find_images(arguments)
  scorer = load(values.workdir, protocol=values.protocol)
  limit = scorer.calibration.threshold if values.threshold is None else values.threshold
  output, start = Path(values.output), time.perf_counter()
  maps = output.with_name(f'{output.stem}_maps') if values.maps else None
  predictions = predict(scorer, paths, threshold=limit, maps=maps)
  anomalous, unreadable = write_table(output, predictions, len(paths))
  rate = len(paths) / (time.perf_counter() - start)
  print(f'{len(paths)} images, {anomalous} anomalous (score over {limit:.6g}), {rate:.1f} images/s')
  if unreadable:
    print(f'warning: {unreadable} could not be read, see the column error', file=sys.stderr)
  print(f'table: {output}')
  if maps:
    print(f'anomaly maps: {maps}')
  return ANOMALY_STATUS if anomalous and values['fail-on-anomaly'].value else 0


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.DEFINE_string('output', 'scores.csv', 'file for the table')
  flags.DEFINE_float(
    'threshold', None, "raw score above which an image is anomalous, by default the model's"
  )
  flags.DEFINE_bool('maps', False, 'draw the anomaly maps over the images into <output>_maps')
  flags.DEFINE_bool(
    'fail-on-anomaly', False, f'exit with {ANOMALY_STATUS} if any image is anomalous'
  )
  flags.mark_flag_as_required('workdir')
  command_line.run(main, takes_arguments=True)
