"""Scores image files and decides on each, in constant memory."""

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ocrgan_jax import overlay
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.pipeline import decode_files
from ocrgan_jax.writer import write_jpeg

if TYPE_CHECKING:
  from ocrgan_jax.scorer import Scorer

LONGEST_NAME = 80  # characters of an image's name in that of its picture


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
) -> Iterator[Prediction]:
  """Scores image files in constant memory.

  Args:
    scorer: from `scorer.load`.
    paths: image files.
    threshold: scaled score above which an image is anomalous; by default the model's.
    maps: folder for pictures of the anomaly maps over the photographs, if wanted.

  Yields:
    One prediction per path, in order. For an unreadable file it holds the error.
  """
  outputs = ('score', 'map') if maps else ('score',)
  done = 0
  limit = scorer.calibration.limit if threshold is None else threshold
  map_limit = limit_of_map(scorer, limit)
  size = scorer.config.image_size
  decoded = decode_files(list(paths), size, scorer.config.data.max_megapixels)
  start = time.perf_counter()
  while batch := list(itertools.islice(decoded, scorer.batch_size)):
    images = np.zeros((len(batch), size, size, 3), np.uint8)
    for i, (_, image, _) in enumerate(batch):
      if image is not None:
        images[i] = image
    values = scorer.score_batch(images, outputs)
    scores = scorer.scale(values['score'].astype(np.float64))
    decisions = np.where(scores > limit, 'anomalous', 'normal').tolist()
    drawn = [''] * len(batch)
    for i, (path, image, _) in enumerate(batch):
      if maps and image is not None:
        # The number distinguishes images with the same name in different folders.
        drawn[i] = str(maps / f'{done + i:06}_{Path(path).stem[:LONGEST_NAME]}.jpg')
        photograph = read_photograph(path)
        picture = overlay.draw(
          photograph, values['map'][i], map_limit, decisions[i], float(scores[i])
        )
        write_jpeg(Path(drawn[i]), picture)
    done += len(batch)
    now = time.perf_counter()
    seconds, start = (now - start) / len(batch), now
    for i, (path, image, error) in enumerate(batch):
      if image is None:
        yield Prediction(str(path), np.nan, '', seconds, error)
      else:
        yield Prediction(str(path), float(scores[i]), decisions[i], seconds, '', drawn[i])


def read_photograph(path: Path | str) -> np.ndarray:
  """An image file at its own size, upright: uint8 [height, width, 3]."""
  return np.asarray(to_rgb(open_image(Path(path).read_bytes())))


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
