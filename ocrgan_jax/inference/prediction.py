"""The prediction for an image file, and the file with its picture."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.images import DecodedFile
from ocrgan_jax.drawing import overlay

LONGEST_NAME = 80  # bytes of an image's name that its picture's name keeps


class Prediction(NamedTuple):
  """The result for one image.

  Attributes:
    path: as given.
    score: scaled score, 0 to 1 over the normal images that set the threshold, higher if more
      anomalous; NaN if the image could not be read.
    decision: 'normal' or 'anomalous'; '' if the image could not be read.
    seconds: time per image of its batch, including reading.
    error: why the image could not be read, or ''.
    map: file with the anomaly map drawn on the photograph, or ''.
    reason: what was seen, and
    place: where; see `explanation.Explanation`.
  """

  path: str
  score: float
  decision: str
  seconds: float
  error: str
  map: str = ''
  reason: str = ''
  place: str = ''


def picture_name(number: int, path: Path | str) -> str:
  """Names an image's picture; the number keeps equal names from different folders apart."""
  stem = Path(path).stem
  while len(os.fsencode(stem)) > LONGEST_NAME:
    stem = stem[:-1]
  return f'{number:06}_{stem}.jpg'


def group_into_batches(files: Iterator[DecodedFile], size: int) -> Iterator[list[DecodedFile]]:
  """Groups files whose images fit into a batch; a file with more images is a group of its own."""
  batch: list[DecodedFile] = []
  for file in files:
    count = sum(len(f.images) for f in [*batch, file] if f.images is not None)
    if batch and (count > size or len(batch) == size):
      yield batch
      batch = []
    batch.append(file)
  if batch:
    yield batch


def read_photograph(path: Path | str) -> np.ndarray:
  """Reads an image file to draw on it, upright: uint8 [height, width, 3]."""
  return np.asarray(overlay.drawable(to_rgb(open_image(read_file(Path(path))))))


def printable(text: str) -> str:
  """Replaces undecodable characters, because file names can be any bytes."""
  return text.encode('utf-8', 'replace').decode()


def format_line(p: Prediction, width: int = 70) -> str:
  """Formats a prediction as a line of output, its path cut to `width` characters."""
  width = min(70, width)
  path = p.path if len(p.path) <= width else '…' + p.path[1 - width :]
  seen = ', '.join(filter(None, (p.reason, p.place)))
  return f'{p.score:8.2f}  {p.decision:9}  {printable(path):{width}}  {seen}'.rstrip()


def format_lines(p: Prediction, limit: float, meaning: str) -> str:
  """Says in a few lines what a prediction means: verdict, score, what was seen, and where.

  Args:
    p: of a readable image.
    limit: scaled score above which an image is anomalous.
    meaning: what a score of 1 means.
  """
  share = f'{p.score / limit:.2f} times' if limit > 0 else f'{p.score - limit:+.2f} from'
  sound = p.decision == 'normal'
  reason = f'{p.reason}, within what sound photographs show' if sound else p.reason
  place = f'most unusual at: {p.place}' if sound else p.place
  lines = [
    format_line(p._replace(reason='', place='')),
    f'{"":10}score  {share} the threshold of {limit:.2f}; {meaning}',
    f'{"":10}seen   {reason}' if p.reason else '',
    f'{"":10}where  {place}',
  ]
  return '\n'.join(filter(None, lines))
