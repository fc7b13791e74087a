"""Batches of images for training and scoring, with grain.

A pipeline shuffles and batches *indices*, then fetches the images of a whole batch.
The order depends only on the seed, not on where the images are stored, the number of
workers, or the number of processes that share a batch.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from ocrgan_jax.data.images import CORES, Images, in_threads

ENDLESS = 2**40  # epochs; without a limit grain's count overflows an index


def exit_with_parent(*_: int) -> None:
  """Makes a worker exit when its parent process has ended for any reason, and no sooner."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal
  parent = os.getppid()

  def watch() -> None:
    while os.getppid() == parent:
      time.sleep(1)
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


class TrainingBatches:
  """Endless shuffled batches. Batches continue across epochs, so no image is dropped.

  The state is the index of the next batch, so a run can resume with a different
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
      batch_size: over all processes; at most the number of images.
      seed: determines the order of every epoch.
      workers: processes that decode streamed images; 0 uses threads of this process.
        Images in memory are always fetched by threads.
      process_index: index of this process, which selects its part of each batch.
      process_count: number of processes that share a batch; a divisor of its size.
    """
    # Batched before the split over processes, so that all of them share one order.
    shuffled = grain.MapDataset.range(len(images)).seed(seed).shuffle()
    self._order = shuffled.repeat(ENDLESS).batch(batch_size)
    local = batch_size // process_count
    part = slice(process_index * local, (process_index + 1) * local)
    self._batches = self._order.map(lambda indices: images[indices[part]])
    self._workers = 0 if isinstance(images, np.ndarray) else workers
    self._start(0)

  def _start(self, number: int) -> None:
    self._number = number
    options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=2 * CORES)
    batches = self._batches.slice(slice(number, None)).to_iter_dataset(options)
    if self._workers:
      if not flags.FLAGS.is_parsed():  # grain's workers require parsed flags
        flags.FLAGS.mark_as_parsed()
      batches = batches.mp_prefetch(
        grain.MultiprocessingOptions(num_workers=self._workers), worker_init_fn=exit_with_parent
      )
    self._iterator = iter(batches)

  def __next__(self) -> np.ndarray:
    """uint8 [batch_size / process_count, size, size, 3]."""
    batch = next(self._iterator)
    self._number += 1
    return batch

  def indices(self, number: int) -> np.ndarray:
    """The indices of the images in a batch, over all processes; int [batch_size]."""
    return np.asarray(self._order[number])

  def get_state(self) -> dict[str, int]:
    """The position of the iterator, to save."""
    return {'next_batch': self._number}

  def set_state(self, state: dict[str, int]) -> None:
    """Restores a saved position."""
    self._start(state['next_batch'])


def evaluation_batches(
  images: Images,
  batch_size: int,
  order: np.ndarray | None = None,
  *,
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[tuple[np.ndarray, int]]:
  """Yields every image once, in batches of equal size.

  Args:
    images: the images to evaluate.
    batch_size: over all processes; the last batch is padded with black images.
    order: indices of the images; None keeps their order.
    process_index: index of this process, which selects its part of each batch.
    process_count: number of processes that share a batch; a divisor of its size.

  Yields:
    uint8 [batch_size / process_count, size, size, 3], and the number of real images in the
    batch over all processes. Padding comes last.
  """
  local = batch_size // process_count
  order = np.arange(len(images)) if order is None else order

  def load(start: int) -> tuple[np.ndarray, int]:
    whole = order[start : start + batch_size]
    mine = whole[process_index * local : (process_index + 1) * local]
    batch = images[mine] if len(mine) else images[np.array([0])][:0]
    padding = [(0, local - len(batch))] + [(0, 0)] * (batch.ndim - 1)
    return np.pad(batch, padding), len(whole)

  return in_threads(load, range(0, len(order), batch_size), ahead=2 * CORES)
