"""Images as arrays, in memory or decoded on access, and the held-out split."""

import dataclasses
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import grain
import numpy as np
from tqdm import tqdm

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.builder import Records, Split
from ocrgan_jax.data.decoding import upright_size
from ocrgan_jax.data.framing import Framing, decode_frames
from ocrgan_jax.data.grouping import take_groups

CORES = os.cpu_count() or 1


class Images(Protocol):
  """Images by index: an array in memory, or `StreamedImages` that decode on access."""

  def __len__(self) -> int: ...

  def __getitem__(self, indices: np.ndarray, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class StreamedImages:
  """Images decoded from their records on each access."""

  records: Records
  chosen: np.ndarray  # index of each image's record
  framing: Framing
  part: np.ndarray | None = None  # index of each image in its photograph; None if it has only one

  def __len__(self) -> int:
    return len(self.chosen)

  def __getitem__(self, indices: np.ndarray) -> np.ndarray:
    """uint8 [indices, size, size, channels]."""
    parts = np.zeros(len(self), int) if self.part is None else self.part
    return np.stack([self.decode(int(self.chosen[i]))[parts[i]] for i in indices])

  def decode(self, index: int) -> np.ndarray:
    """The images of one record, uint8 [images, size, size, channels].

    Raises:
      InputError: if too little of it is valid to be judged.
    """
    record = self.records[index]
    try:
      return decode_frames(record['image'], self.framing)[0]
    except ValueError as error:
      raise InputError(f'{record["path"]}: {error}') from None


@dataclasses.dataclass(frozen=True)
class Photographs:
  """Padded or tiled photographs; the images of one photograph are consecutive."""

  images: Images
  first: np.ndarray  # index of each photograph's first image, int [photographs]
  sizes: list[tuple[int, int]]  # width and height of each photograph

  def __len__(self) -> int:
    return len(self.images)

  def __getitem__(self, indices: np.ndarray) -> np.ndarray:
    """uint8 [indices, size, size, channels]."""
    return self.images[indices]


def tile_indices(images: Images) -> list[np.ndarray]:
  """The indices of the images of each photograph."""
  if not isinstance(images, Photographs):
    return [np.array([i]) for i in range(len(images))]
  return np.split(np.arange(len(images)), images.first[1:])


def reduce_tiles(images: Images, values: np.ndarray, how: np.ufunc = np.maximum) -> np.ndarray:
  """Reduces values per image to values per photograph: the maximum; `np.add` averages."""
  if not isinstance(images, Photographs):
    return values
  reduced = how.reduceat(values, images.first)
  if how is not np.add:
    return reduced
  counts = np.diff([*images.first, len(values)])
  return reduced / counts.reshape(-1, *[1] * (values.ndim - 1))


def hold_out(groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Holds out a random share of the training images, for calibration and validation.

  Args:
    groups: int [images], the group of each normal training image.
    share: share of the images to hold out, by whole groups; at least one group is held out and at
      least one remains. Images of a single group are held out one by one, with a warning.
    seed: the same seed holds out the same images.

  Returns:
    Sorted indices of the images to train on, and of the held-out ones.

  Raises:
    InputError: if there are fewer than two images.
  """
  count = len(groups)
  if count < 2:
    raise InputError(
      f'only {count} normal training image(s) found: at least 2 are needed, '
      'one to train on and one held out to set the scale of the scores'
    )
  if len(np.unique(groups)) == 1:
    print(
      f'warning: all {count} training images show one part, so the threshold is for that part '
      'alone; photograph more parts',
      file=sys.stderr,
    )
    groups = np.arange(count)
  held = take_groups(groups, round(share * count), seed)
  return np.flatnonzero(~held), np.flatnonzero(held)


def load_images(
  split: Split,
  framing: Framing,
  *,
  memory_gib: float,
  chosen: np.ndarray | None = None,
  description: str = 'decoding images',
) -> Images:
  """Decodes images into memory if they fit, else streams them.

  Args:
    split: a split of a prepared dataset.
    framing: how photographs become images.
    memory_gib: limit for the decoded images; GiB.
    chosen: indices of the photographs to load; all by default.
    description: label of the progress bar.

  Returns:
    uint8 [images, size, size, channels], or `StreamedImages`, or `Photographs` of either.
  """
  chosen = np.arange(len(split.names)) if chosen is None else chosen
  if framing.fit == 'stretch':
    return _load(StreamedImages(split.records, chosen, framing), memory_gib, description)
  sizes = [upright_size(split.records[int(i)]['image']) for i in chosen]
  framing.warn_of_many_tiles(*max(sizes, key=math.prod, default=(1, 1)))
  counts = [len(framing.boxes(*size)) for size in sizes]
  part = np.concatenate([np.arange(count) for count in counts])
  streamed = StreamedImages(split.records, np.repeat(chosen, counts), framing, part)
  first = np.cumsum([0, *counts[:-1]])
  return Photographs(_load(streamed, memory_gib, description), first, sizes)


def _load(streamed: StreamedImages, memory_gib: float, description: str) -> Images:
  size, channels = streamed.framing.size, streamed.framing.channels
  need = len(streamed) * size * size * channels / 2**30
  if need > memory_gib:
    print(
      f'{len(streamed)} images take {need:.2f} GiB decoded, over data.memory_gib = '
      f'{memory_gib:g}: they are streamed, i.e. decoded again in each epoch',
      file=sys.stderr,
    )
    return streamed
  images = np.empty((len(streamed), size, size, channels), np.uint8)
  records = list(dict.fromkeys(streamed.chosen.tolist()))
  decoded = in_threads(streamed.decode, records, ahead=4 * CORES)
  done = 0
  for frames in tqdm(decoded, description, len(records), unit='image', leave=False):
    images[done : done + len(frames)] = frames
    done += len(frames)
  return images


def in_threads(function: Callable[[Any], Any], items: Sequence[Any], ahead: int) -> Iterator[Any]:
  """Yields the results of a function in order; threads compute up to `ahead` of them early."""
  options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=ahead)
  return iter(grain.MapDataset.source(items).map(function).to_iter_dataset(options))


class NormalImages(NamedTuple):
  """The normal images of a run, and the group of each photograph: int [photographs]."""

  images: Images  # to train on
  held_out: Images  # for the scale, the threshold and validation
  groups: np.ndarray
  held_out_groups: np.ndarray

  @property
  def num_held_out_groups(self) -> int:
    """The number of groups that are held out."""
    return len(np.unique(self.held_out_groups))


def load_normal_images(
  split: Split, framing: Framing, *, chosen: np.ndarray, held_out: np.ndarray, memory_gib: float
) -> NormalImages:
  """Loads the training images and the held-out ones; see `hold_out` and `load_images`."""
  load = lambda indices: load_images(split, framing, memory_gib=memory_gib, chosen=indices)
  return NormalImages(load(chosen), load(held_out), split.groups[chosen], split.groups[held_out])


class DecodedFile(NamedTuple):
  """An image file, decoded for the model."""

  path: Path | str
  images: np.ndarray | None  # uint8 [images, size, size, channels]; None if it could not be read
  size: tuple[int, int]  # width and height of the photograph
  error: str  # why it could not be read, or ''


def decode_files(
  paths: Sequence[Path | str], framing: Framing, max_megapixels: float
) -> Iterator[DecodedFile]:
  """Yields the decoded files, in order; threads read a few ahead. Errors are in the results."""

  def decode(path: Path | str) -> DecodedFile:
    try:
      frames, size = decode_frames(read_file(Path(path)), framing, max_megapixels)
      return DecodedFile(path, frames, size, '')
    except (ValueError, OSError) as error:
      return DecodedFile(path, None, (0, 0), str(error))

  return in_threads(decode, paths, ahead=64)
