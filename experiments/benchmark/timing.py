"""Repeats a call, and makes the row of its rate."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.rows import Row

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


def median_of(call: Callable[[], Any]) -> float:
  """The median seconds of a call."""
  return float(np.median(time_calls(call)))


def rate_row(name: str, images: int, seconds: list[float]) -> Row:
  """The row of a rate, from the images and the seconds of each call: median and spread."""
  rates = [images / s for s in seconds]
  spread = [min(rates), max(rates)]
  return {'name': name, 'value': float(np.median(rates)), 'unit': 'images/s', 'spread': spread}
