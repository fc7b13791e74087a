"""Repeats measurements, and prints the lines of the table."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ocrgan_jax.data.batches import TrainingBatches

REPEATS = 7


def time_calls(call: Callable[[], Any]) -> list[float]:
  """The seconds of each of REPEATS calls, after two warm-up calls."""
  seconds = []
  for repeat in range(REPEATS + 2):
    start = time.perf_counter()
    jax.block_until_ready(call())
    if repeat > 1:
      seconds.append(time.perf_counter() - start)
  return seconds


def time_batches(batches: TrainingBatches, count: int) -> list[float]:
  """Images/s of the pipeline over `count` batches, REPEATS times after a warm-up."""
  rates = []
  for repeat in range(REPEATS + 1):
    start, images = time.perf_counter(), 0
    for _ in range(count):
      images += len(next(batches))
    if repeat:
      rates.append(images / (time.perf_counter() - start))
  return rates


def report_rate(name: str, rates: list[float]) -> dict[str, Any]:
  """Prints one line of the table and returns its row.

  Args:
    name: what was measured.
    rates: images/s of each repeat.

  Returns:
    The name, the median and the spread.
  """
  row = {
    'name': name,
    'images_per_second': float(np.median(rates)),
    'spread': [min(rates), max(rates)],
  }
  print(f'{name:50} {np.median(rates):10.2f} images/s  ({min(rates):.2f} to {max(rates):.2f})')
  return row
