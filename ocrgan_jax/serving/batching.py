"""Scores the images of concurrent requests in one batch on the device."""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from ocrgan_jax.inference.scorer import Scorer

WAIT_SECONDS = 0.005  # wait for more images after the first


class _Job(NamedTuple):
  images: np.ndarray
  result: Future


class Batcher:
  """A thread that scores the images of several callers together.

  Batches have a few fixed sizes, each with its own program compiled in advance, so that a
  single image does not cost a full batch.
  """

  def __init__(self, scorer: Scorer, sizes: Sequence[int]):
    """Compiles a program for each size, and starts the thread.

    Args:
      scorer: the model.
      sizes: of the batches, ascending, multiples of the number of devices.
    """
    self._scorer, self._sizes = scorer, tuple(sizes)
    self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    for size in self._sizes:
      shape = (1, scorer.model.image_size, scorer.model.image_size, scorer.model.channels)
      scorer.score_batch(np.zeros(shape, np.uint8), scorer.explained_by, batch_size=size)
    self._thread = threading.Thread(target=self._run, name='scoring', daemon=True)
    self._thread.start()

  def submit(self, images: np.ndarray) -> 'Future[dict[str, np.ndarray]]':
    """Queues the images of a photograph, uint8 [images, size, size, channels], for scoring.

    Returns:
      A future of `Scorer.explained_by`: float32 `score` [images], `map` [images, size, size] and
      with heads `heads` [images, heads].
    """
    job = _Job(images, Future())
    self._jobs.put(job)
    return job.result

  def close(self) -> None:
    """Finishes the queued images, then ends the thread."""
    self._jobs.put(None)
    self._thread.join()

  def _run(self) -> None:
    while (first := self._jobs.get()) is not None:
      jobs, until = [first], time.monotonic() + WAIT_SECONDS
      while sum(len(job.images) for job in jobs) < self._sizes[-1]:
        try:
          job = self._jobs.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
          break
        if job is None:
          self._jobs.put(None)
          break
        jobs.append(job)
      self._score(jobs)

  def _score(self, jobs: list[_Job]) -> None:
    try:
      results = self._scorer.score_photographs(
        [job.images for job in jobs], self._scorer.explained_by, self._sizes
      )
    except Exception as error:
      for job in jobs:
        job.result.set_exception(error)
      return
    for job, result in zip(jobs, results, strict=True):
      job.result.set_result(result)
