"""From prepared datasets to batches, with grain.

A pipeline shuffles and batches *indices*, then fetches the images of a whole batch.
The order depends on the seed only, not on where the images are kept, the number of
workers, or the number of processes that share a batch.
"""

import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import grain
import numpy as np
from absl import flags
from tqdm import tqdm

from ocrgan_jax.data.builder import Records, Split
from ocrgan_jax.data.decoding import decode_image
from ocrgan_jax.errors import InputError

CORES = os.cpu_count() or 1


class Images(Protocol):
  """Images by index: an array in memory, or `StreamedImages` that decode on access."""

  def __len__(self) -> int: ...

  def __getitem__(self, indices: np.ndarray, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class StreamedImages:
  """Images decoded from their records on each access.

  Attributes:
    records: of a prepared dataset.
    chosen: indices of the records of these images.
    size: side in pixels that they are resized to.
  """

  records: Records
  chosen: np.ndarray
  size: int

  def __len__(self) -> int:
    """The number of images."""
    return len(self.chosen)

  def __getitem__(self, indices: np.ndarray) -> np.ndarray:
    """uint8 [indices, size, size, 3]."""
    return np.stack([self.decode(int(i)) for i in self.chosen[indices]])

  def decode(self, index: int) -> np.ndarray:
    """uint8 [size, size, 3], of one record."""
    return decode_image(self.records[index]['image'], self.size)


def hold_out(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Holds out a random share of the training images, for calibration and validation.

  Args:
    count: the number of normal training images.
    share: of them to hold out; at least one is held out and at least one is left.
    seed: the same seed holds out the same images.

  Returns:
    Sorted indices of the images to train on, and of those held out.

  Raises:
    InputError: if there are fewer than two images.
  """
  if count < 2:
    raise InputError(
      f'only {count} normal training image(s) found: at least 2 are needed, '
      'one to train on and one held out to set the scale of the scores'
    )
  held = min(max(1, round(share * count)), count - 1)
  order = np.random.default_rng(seed).permutation(count)
  return np.sort(order[held:]), np.sort(order[:held])


def load_images(
  split: Split,
  size: int,
  *,
  memory_gib: float,
  chosen: np.ndarray | None = None,
  description: str = 'decoding images',
) -> Images:
  """Decodes images into memory if they fit, else streams them.

  Args:
    split: of a prepared dataset.
    size: side in pixels that the images are resized to.
    memory_gib: limit for the decoded images, in GiB.
    chosen: indices of the images to load; all by default.
    description: label of the progress bar.

  Returns:
    uint8 [images, size, size, 3], or an object that decodes on access.
  """
  chosen = np.arange(len(split.names)) if chosen is None else chosen
  streamed = StreamedImages(split.records, chosen, size)
  need = len(chosen) * size * size * 3 / 2**30
  if need > memory_gib:
    print(
      f'{len(chosen)} images take {need:.2f} GiB decoded, over data.memory_gib = '
      f'{memory_gib:g}: they are streamed, decoded again in each epoch',
      file=sys.stderr,
    )
    return streamed
  images = np.empty((len(chosen), size, size, 3), np.uint8)
  decoded = grain.MapDataset.source(chosen).map(lambda index: streamed.decode(int(index)))
  options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=4 * CORES)
  bar = tqdm(decoded.to_iter_dataset(options), description, len(chosen), unit='image', leave=False)
  for i, image in enumerate(bar):
    images[i] = image
  return images


class TrainingBatches:
  """Endless shuffled batches. No image is dropped: batches continue across epochs.

  The state is the number of the next batch, so a run can resume with a different
  number of workers or processes.
  """

  def __init__(
    self,
    images: Images,
    batch_size: int,
    seed: int,
    *,
    workers: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ):
    """Starts at the first batch.

    Args:
      images: the training images.
      batch_size: over all processes, at most the number of images.
      seed: determines the order of every epoch.
      workers: processes that decode streamed images; 0 uses threads of this process.
        Images in memory are always fetched by threads.
      process_index: the part of each batch that this process gets.
      process_count: number of processes that share a batch, a divisor of its size.
    """
    # The global order, batched before it is split over processes.
    order = grain.MapDataset.range(len(images)).seed(seed).shuffle().repeat().batch(batch_size)
    local = batch_size // process_count
    part = slice(process_index * local, (process_index + 1) * local)
    self._batches = order.map(lambda indices: images[indices[part]])
    self._workers = 0 if isinstance(images, np.ndarray) else workers
    self._start(0)

  def _start(self, number: int) -> None:
    self._number = number
    options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=2 * CORES)
    batches = self._batches.slice(slice(number, None)).to_iter_dataset(options)
    if self._workers:
      if not flags.FLAGS.is_parsed():  # grain's workers require it, even in a plain script
        flags.FLAGS.mark_as_parsed()
      batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=self._workers))
    self._iterator = iter(batches)

  def __next__(self) -> np.ndarray:
    """uint8 [batch_size / process_count, size, size, 3]."""
    batch = next(self._iterator)
    self._number += 1
    return batch

  def get_state(self) -> dict[str, int]:
    """The position of the iterator."""
    return {'next_batch': self._number}

  def set_state(self, state: dict[str, int]) -> None:
    """Continues from a saved position."""
    self._start(state['next_batch'])


def decode_files(
  paths: Sequence[Path | str], size: int, max_megapixels: float
) -> Iterator[tuple[Path | str, np.ndarray | None, str]]:
  """Decodes files in order, with threads that read a few ahead.

  Args:
    paths: of image files.
    size: side in pixels that they are resized to.
    max_megapixels: larger images are rejected; 10^6 pixels.

  Yields:
    The path, uint8 [size, size, 3] or None, and '' or why it could not be read.
  """

  def decode(path: Path | str) -> tuple[Path | str, np.ndarray | None, str]:
    try:
      return path, decode_image(Path(path).read_bytes(), size, max_megapixels), ''
    except (ValueError, OSError) as error:
      return path, None, str(error)

  options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=64)
  yield from grain.MapDataset.source(paths).map(decode).to_iter_dataset(options)


def evaluation_batches(
  images: Images, batch_size: int, *, process_index: int = 0, process_count: int = 1
) -> Iterator[tuple[np.ndarray, int]]:
  """Yields all images once, in order, in batches of equal size.

  Args:
    images: to evaluate.
    batch_size: over all processes; the last batch is padded with black images.
    process_index: the part of each batch that this process gets.
    process_count: number of processes that share a batch, a divisor of its size.

  Yields:
    uint8 [batch_size / process_count, size, size, 3], and the number of real images
    in the batch over all processes; padding follows them.
  """
  local = batch_size // process_count
  indices = grain.MapDataset.range(0, len(images), batch_size)

  def load(start: int) -> tuple[np.ndarray, int]:
    end = min(start + batch_size, len(images))
    mine = np.arange(start, end)[process_index * local : (process_index + 1) * local]
    batch = images[mine] if len(mine) else images[np.array([0])][:0]
    padding = [(0, local - len(batch))] + [(0, 0)] * (batch.ndim - 1)
    return np.pad(batch, padding), end - start

  options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=2 * CORES)
  yield from indices.map(load).to_iter_dataset(options)
