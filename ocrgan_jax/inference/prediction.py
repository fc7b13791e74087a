"""What a model says of one image file, and the file of its picture."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.images import DecodedFile

LONGEST_NAME = 80  # bytes of an image's name in that of its picture


class Prediction(NamedTuple):
  """The result for one image.

  Attributes:
    path: as given.
    score: 0 to 1 over held-out normal images, higher for more anomalous ones; NaN if the
      image could not be read.
    decision: 'normal', 'anomalous', or '' if the image could not be read.
    seconds: time per image of its batch, reading included.
    error: why the image could not be read, or ''.
    map: file with the anomaly map drawn over the photograph, or ''.
  """

  path: str
  score: float
  decision: str
  seconds: float
  error: str
  map: str = ''


def picture_name(number: int, path: Path | str) -> str:
  """The name of an image's picture; the number tells those of different folders apart."""
  stem = Path(path).stem
  while len(os.fsencode(stem)) > LONGEST_NAME:
    stem = stem[:-1]
  return f'{number:06}_{stem}.jpg'


def read_again(path: Path | str) -> np.ndarray | None:
  """A photograph to draw on; None, with a warning, if it is gone since it was scored."""
  try:
    return read_photograph(path)
  except (OSError, ValueError) as error:
    print(f'warning: no picture of {path}: {error}', file=sys.stderr)
    return None


def batches_of(files: Iterator[DecodedFile], size: int) -> Iterator[list[DecodedFile]]:
  """Files together until their images fill a batch, or one has more than that."""
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
  """An image file at its own size, upright: uint8 [height, width, 3]."""
  return np.asarray(to_rgb(open_image(read_file(Path(path)))))


def printable(text: str) -> str:
  """A text with marks for what is none: file names can be any bytes."""
  return text.encode('utf-8', 'replace').decode()


def as_line(p: Prediction, width: int = 70) -> str:
  """A prediction as a line of the command's output, its path cut to a width in letters."""
  width = min(70, width)
  path = p.path if len(p.path) <= width else '…' + p.path[1 - width :]
  return f'{p.score:8.2f}  {p.decision:9}  {printable(path)}'
