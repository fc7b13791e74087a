"""Scores image files and decides on each, in constant memory."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ocrgan_jax import overlay
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.pipeline import DecodedFile, decode_files
from ocrgan_jax.data.reading import read_file
from ocrgan_jax.writer import write_jpeg

if TYPE_CHECKING:
  from ocrgan_jax.scorer import Scorer

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


def predict(
  scorer: 'Scorer',
  paths: Iterable[Path | str],
  *,
  threshold: float | None = None,
  maps: Path | None = None,
  first: int = 0,
) -> Iterator[Prediction]:
  """Scores image files in constant memory.

  Args:
    scorer: from `scorer.load`.
    paths: image files.
    threshold: scaled score above which an image is anomalous; by default the model's.
    maps: folder for pictures of the anomaly maps over the photographs, if wanted.
    first: the number of the first image, in the names of pictures.

  Yields:
    One prediction per path, in order. For an unreadable file it holds the error.
  """
  outputs = ('score', 'map') if maps else ('score',)
  done = first
  limit = scorer.calibration.limit if threshold is None else threshold
  map_limit = limit_of_map(scorer, limit)
  framing = scorer.framing
  decoded = decode_files(list(paths), framing, scorer.config.data.max_megapixels)
  start = time.perf_counter()
  for batch in batches_of(decoded, scorer.batch_size):
    found: list[Prediction] = []
    values = score_images(scorer, [file.images for file in batch], outputs)
    for i, (file, value) in enumerate(zip(batch, values, strict=True)):
      if file.images is None:
        found.append(Prediction(str(file.path), np.nan, '', 0.0, file.error))
        continue
      score = float(scorer.scale(value['score'].max().astype(np.float64)))
      decision, drawn = 'anomalous' if score > limit else 'normal', ''
      photograph = read_again(file.path) if maps else None
      if maps and photograph is not None:
        drawn = str(maps / picture_name(done + i, file.path))
        whole = framing.on_photograph(value['map'], file.size, photograph.shape[:2])
        picture = overlay.draw(photograph, whole, map_limit, decision, score)
        write_jpeg(Path(drawn), picture)
      found.append(Prediction(str(file.path), score, decision, 0.0, '', drawn))
    done += len(batch)
    now = time.perf_counter()
    seconds, start = (now - start) / len(batch), now
    yield from (p._replace(seconds=seconds) for p in found)


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


def score_images(
  scorer: 'Scorer',
  groups: Sequence[np.ndarray | None],
  outputs: tuple[str, ...],
  sizes: Sequence[int] = (),
) -> list[dict[str, np.ndarray]]:
  """Scores the images of several photographs together.

  Args:
    scorer: of a model.
    groups: the images of each photograph; None where there are none.
    outputs: the wanted results of `score_step.score_step`.
    sizes: of the batches, ascending, of which the least that is enough is taken; by default
      the scorer's alone.

  Returns:
    The results for each photograph's images; {} where there are none.
  """
  counts = [0 if group is None else len(group) for group in groups]
  if not sum(counts):
    return [{} for _ in groups]
  images = np.concatenate([group for group in groups if group is not None])
  sizes = sizes or (scorer.batch_size,)
  parts = []
  for start in range(0, len(images), sizes[-1]):
    part = images[start : start + sizes[-1]]
    size = next(size for size in sizes if size >= len(part))
    parts.append(scorer.score_batch(part, outputs, batch_size=size))
  values = {name: np.concatenate([part[name] for part in parts]) for name in outputs}
  ends = np.cumsum(counts)
  return [
    {name: value[end - count : end] for name, value in values.items()} if count else {}
    for count, end in zip(counts, ends, strict=True)
  ]


def read_photograph(path: Path | str) -> np.ndarray:
  """An image file at its own size, upright: uint8 [height, width, 3]."""
  return np.asarray(to_rgb(open_image(read_file(Path(path)))))


def limit_of_map(scorer: 'Scorer', limit: float) -> float:
  """From which value of the anomaly map on an image is anomalous.

  Where the score is the mean of the map's largest values, it is the threshold itself: in an
  image over it some of the map is too. Eq. 13 looks at no map; there it is the highest
  value that held-out normal images reach.

  Args:
    scorer: of the maps.
    limit: scaled score above which an image is anomalous.

  Returns:
    A value of the map.
  """
  calibration = scorer.calibration
  if scorer.model.score.kind != 'map':
    return calibration.map_maximum
  return calibration.minimum + limit * calibration.width


def small_map(scorer: 'Scorer', maps: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
  """The anomaly map over a whole photograph as a small grey picture, see `overlay.grey_map`.

  Args:
    scorer: of the maps.
    maps: of the photograph's images, float [images, size, size].
    size: width and height of the photograph.
    side: the longer side of the result, at most, in pixels.

  Returns:
    uint8 [height, width].
  """
  shrink = min(1.0, side / max(size))
  shape = max(1, round(size[1] * shrink)), max(1, round(size[0] * shrink))
  whole = scorer.framing.on_photograph(maps, size, shape)
  return overlay.grey_map(whole, limit_of_map(scorer, scorer.calibration.limit))


def drawing_settings(scorer: 'Scorer') -> dict[str, float]:
  """What a page needs to decide, and to colour a grey map, at any threshold t.

  Args:
    scorer: of the scores and maps.

  Returns:
    `threshold`, the model's own; `map_white`, what 255 stands for; `map_minimum` and
    `map_width`, for the limit of a map is map_minimum + t map_width; `faint` and `full`, the
    shares of the limit between which colour sets in and is full.
  """
  calibration = scorer.calibration
  fixed = scorer.model.score.kind != 'map'
  return {
    'threshold': calibration.limit,
    'map_white': overlay.MAP_RANGE * limit_of_map(scorer, calibration.limit),
    'map_minimum': calibration.map_maximum if fixed else calibration.minimum,
    'map_width': 0.0 if fixed else calibration.width,
    'faint': overlay.FAINT,
    'full': overlay.FULL,
  }
