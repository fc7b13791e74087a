"""The prediction for an image file, and the file with its picture."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.images import DecodedFile

LONGEST_NAME = 80  # bytes of an image's name that its picture's name keeps


class Prediction(NamedTuple):
  """The result for one image.

  Attributes:
    path: as given.
    score: scaled score, 0 to 1 over held-out normal images, higher if more anomalous; NaN if the
      image could not be read.
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


def reread_photograph(path: Path | str) -> np.ndarray | None:
  """Reads a scored photograph again to draw on it; warns and returns None if that fails."""
  try:
    return read_photograph(path)
  except (OSError, ValueError) as error:
    print(f'warning: no picture of {path}: {error}', file=sys.stderr)
    return None


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
  """Reads an image file at full size, upright: uint8 [height, width, 3]."""
  return np.asarray(to_rgb(open_image(read_file(Path(path)))))


def printable(text: str) -> str:
  """Replaces undecodable characters, because file names can be any bytes."""
  return text.encode('utf-8', 'replace').decode()


def format_line(p: Prediction, width: int = 70) -> str:
  """Formats a prediction as a line of output, its path cut to `width` characters."""
  width = min(70, width)
  path = p.path if len(p.path) <= width else '…' + p.path[1 - width :]
  seen = ', '.join(filter(None, (p.reason, p.place)))
  return f'{p.score:8.2f}  {p.decision:9}  {printable(path):{width}}  {seen}'.rstrip()
