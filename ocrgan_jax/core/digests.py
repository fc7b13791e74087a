"""Checksums of saved arrays, to detect damage when they are read back."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np


def digests_of(tree: Any) -> dict[str, str]:
  """The CRC-32 of each array in a tree.

  Args:
    tree: arrays that every process holds in full, or numbers.

  Returns:
    Path in the tree → CRC-32 of the array's dtype, shape and bytes, as eight hex digits.
  """
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  with ThreadPoolExecutor() as threads:  # zlib releases the GIL
    found = threads.map(lambda leaf: _digest(np.asarray(leaf[1])), leaves)
    return {
      jax.tree_util.keystr(path, simple=True, separator='/'): digest
      for (path, _), digest in zip(leaves, found, strict=True)
    }


def _digest(array: np.ndarray) -> str:
  header = f'{array.dtype} {array.shape}'.encode()
  content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
  return f'{zlib.crc32(content, zlib.crc32(header)):08x}'
