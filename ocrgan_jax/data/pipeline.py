"""From lists of image files to batches: every call of grain is here.

A pipeline shuffles and batches *indices*, then fetches the images of a batch at
once, so the order depends on the seed alone, never on where the images are kept.
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import grain
import numpy as np
from tqdm import tqdm

from ocrgan_jax.data.decoding import decode_image
from ocrgan_jax.data.examples import Example

THREADS = os.cpu_count() or 1


class Images(Protocol):
  """Decoded images by index: an array in memory, or `ImageFiles` on disk."""

  def __len__(self) -> int: ...

  def __getitem__(self, indices: np.ndarray, /) -> np.ndarray: ...


class ImageFiles(NamedTuple):
  """Images decoded from their files each time they are asked for.

  Attributes:
    examples: whose images.
    size: side in pixels that they are resized to.
  """

  examples: Sequence[Example]
  size: int

  def __len__(self) -> int:
    """The number of images."""
    return len(self.examples)

  def __getitem__(self, indices: np.ndarray) -> np.ndarray:  # type: ignore[override]
    """uint8 [indices, size, size, 3]."""
    return np.stack([decode_image(self.examples[i].path, self.size) for i in indices])


def load_images(
  examples: Sequence[Example], size: int, *, memory_gib: float, description: str = 'reading'
) -> Images:
  """Decodes all images into memory if they fit, else leaves them on disk.

  Args:
    examples: whose images.
    size: side in pixels that they are resized to.
    memory_gib: what decoded images may take, in GiB.
    description: shown before the progress bar.

  Returns:
    uint8 [examples, size, size, 3], or an object that decodes as it is indexed.

  Raises:
    InputError: naming the first file that is not a readable image.
  """
  files = ImageFiles(examples, size)
  need = len(files) * size * size * 3 / 2**30
  if need > memory_gib:
    print(
      f'{len(files)} images take {need:.1f} GiB decoded, over data.memory_gib = {memory_gib:g}: '
      'they are decoded anew in every epoch'
    )
    return files
  images = np.empty((len(files), size, size, 3), np.uint8)
  decoded = grain.MapDataset.source(list(examples)).map(lambda e: decode_image(e.path, size))
  options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=4 * THREADS)
  bar = tqdm(decoded.to_iter_dataset(options), description, len(files), unit='image', leave=False)
  for i, image in enumerate(bar):
    images[i] = image
  return images


def training_batches(images: Images, batch_size: int, seed: int) -> grain.DatasetIterator:
  """Endless shuffled batches; no image is dropped, batches run on across epochs.

  Args:
    images: of training.
    batch_size: at most the number of images.
    seed: fixes the order of every epoch.

  Returns:
    An iterator over uint8 [batch_size, size, size, 3], whose state can be saved.
  """
  indices = grain.MapDataset.range(len(images)).seed(seed).shuffle().repeat().batch(batch_size)
  options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=2 * THREADS)
  return iter(indices.map(lambda i: images[i]).to_iter_dataset(options))


def evaluation_batches(images: Images, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
  """All images once, in order, in batches of one size.

  Args:
    images: to evaluate.
    batch_size: of every batch; the last is padded with black images.

  Yields:
    uint8 [batch_size, size, size, 3], and how many of them are real.
  """
  for start in range(0, len(images), batch_size):
    batch = images[np.arange(start, min(start + batch_size, len(images)))]
    padding = [(0, batch_size - len(batch))] + [(0, 0)] * 3
    yield np.pad(batch, padding), len(batch)
