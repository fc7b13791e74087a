"""A cache of decoded images for several runs that share a dataset."""

import contextlib
from collections.abc import Callable, Hashable, Iterator

import numpy as np

KEPT_SPLITS = 2  # the training and the test images of one dataset
# Key of a recently used split → index of a record → its images. None while caching is off.
_kept: dict[Hashable, dict[int, np.ndarray]] | None = None


@contextlib.contextmanager
def cache_decoded_images() -> Iterator[None]:
  """Inside the context, images loaded into memory are decoded once per dataset in use."""
  global _kept
  _kept = {}
  try:
    yield
  finally:
    _kept = None


def with_cache(decode: Callable[[int], np.ndarray], key: Hashable) -> Callable[[int], np.ndarray]:
  """Caches the results of a decoder inside `cache_decoded_images`.

  Args:
    decode: index of a record → its images.
    key: everything else that the results depend on.

  Returns:
    The caching decoder; `decode` itself outside the context.
  """
  if _kept is None:
    return decode
  cache = _kept.pop(key, {})
  _kept[key] = cache  # now the most recently used
  for old in list(_kept)[:-KEPT_SPLITS]:
    del _kept[old]

  def cached(index: int) -> np.ndarray:
    if index not in cache:
      cache[index] = decode(index)
    return cache[index]

  return cached
