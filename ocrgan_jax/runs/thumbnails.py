"""Small copies of the training photographs in the run's folder, to show the most similar one."""

import io
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_bytes
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.decoding import open_image, small_jpeg, to_rgb

FILE = 'thumbnails.npz'
SIDE = 160  # of the longer side; pixels
COMPARED = 24  # side of what is compared; pixels
MOST = 2000  # photographs; about 10 MiB


class Thumbnails(NamedTuple):
  """Thumbnails of a run's training photographs.

  Attributes:
    names: of the photographs, relative to the dataset's folder.
    pictures: JPEG files.
    mean: the mean of the photographs as they are compared, float32 [n].
    directions: how each differs from that mean, as unit vectors, float32 [photographs, n].
  """

  names: list[str]
  pictures: list[bytes]
  mean: np.ndarray
  directions: np.ndarray

  def most_similar(self, photograph: Image.Image) -> int:
    """The index of the photograph that differs from the mean as this one does, by the cosine."""
    return int((self.directions @ (_reduced(photograph) - self.mean)).argmax())


def make_thumbnails(photographs: Split) -> Thumbnails:
  """Reduces photographs; of more than MOST, MOST that are evenly spread, which is said."""
  count = len(photographs.names)
  chosen = np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))
  if len(chosen) < count:
    print(f'thumbnails of {len(chosen)} of {count} training photographs', file=sys.stderr)
  pictures, reduced = [], []
  for i in tqdm(chosen, 'reducing photographs', unit='image', leave=False):
    image = to_rgb(open_image(photographs.records[int(i)]['image']))
    reduced.append(_reduced(image))
    pictures.append(small_jpeg(image, SIDE))
  compared = np.stack(reduced)
  mean = compared.mean(0)
  away = compared - mean
  lengths = np.linalg.norm(away, axis=1, keepdims=True)
  names = [photographs.names[i] for i in chosen]
  return Thumbnails(names, pictures, mean, away / np.maximum(lengths, 1e-6))


def save_thumbnails(workdir: Path, photographs: Split) -> None:
  """Writes thumbnails of photographs into a run's folder, unless it has them."""
  if (workdir / FILE).exists():
    return
  thumbnails = make_thumbnails(photographs)
  file = io.BytesIO()
  np.savez(
    file,
    names=np.frombuffer(json.dumps(thumbnails.names).encode(), np.uint8),
    pictures=np.frombuffer(b''.join(thumbnails.pictures), np.uint8),
    sizes=np.array([len(picture) for picture in thumbnails.pictures]),
    mean=thumbnails.mean,
    directions=thumbnails.directions,
  )
  write_bytes(workdir / FILE, file.getvalue())


def load_thumbnails(workdir: Path) -> Thumbnails | None:
  """Reads the thumbnails of a run; None if it keeps none.

  Raises:
    InputError: if the file is damaged.
  """
  path = workdir / FILE
  if not path.exists():
    return None
  try:
    with np.load(path) as file:
      ends, joined = np.cumsum(file['sizes']), file['pictures'].tobytes()
      pictures = [joined[end - size : end] for end, size in zip(ends, file['sizes'], strict=True)]
      names = json.loads(file['names'].tobytes())
      return Thumbnails(names, pictures, file['mean'], file['directions'])
  except Exception as error:
    raise InputError(
      f'{path} is damaged ({error}); delete it, and no similar photograph is shown'
    ) from None


def _reduced(photograph: Image.Image) -> np.ndarray:
  """A photograph as it is compared: few pixels, whatever its brightness."""
  small = photograph.convert('RGB').resize((COMPARED, COMPARED), Image.Resampling.BOX)
  pixels = np.asarray(small, np.float32)
  return (pixels - pixels.mean()).ravel()
