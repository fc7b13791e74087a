"""Decoded images kept from one run to the next, where several runs share a dataset."""

import contextlib
from collections.abc import Callable, Hashable, Iterator

import numpy as np

KEPT_SPLITS = 2  # the training and the test images of one dataset
# Of the splits used last: what they are → index of a record → its images. None if not wanted.
_kept: dict[Hashable, dict[int, np.ndarray]] | None = None


@contextlib.contextmanager
def cache_decoded_images() -> Iterator[None]:
  """Within it, images loaded into memory are not decoded again while one dataset is in use."""
  global _kept
  _kept = {}
  try:
    yield
  finally:
    _kept = None


def with_cache(decode: Callable[[int], np.ndarray], of: Hashable) -> Callable[[int], np.ndarray]:
  """A function of an index that remembers its results while `cache_decoded_images`.

  Args:
    decode: index of a record → its images.
    of: what the results depend on beside the index.

  Returns:
    The function.
  """
  if _kept is None:
    return decode
  found = _kept.pop(of, {})
  _kept[of] = found  # the last of them
  for old in list(_kept)[:-KEPT_SPLITS]:
    del _kept[old]

  def remembered(index: int) -> np.ndarray:
    if index not in found:
      found[index] = decode(index)
    return found[index]

  return remembered
