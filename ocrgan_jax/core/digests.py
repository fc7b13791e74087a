"""Checksums of saved arrays, so that what is read is what was written."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np


def digests_of(tree: Any) -> dict[str, str]:
  """The CRC-32 of each array of a tree, by its path.

  Args:
    tree: of arrays that every process holds whole, or numbers.

  Returns:
    Path → eight hexadecimal digits, of the array's type, shape and bytes.
  """
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  with ThreadPoolExecutor() as threads:  # zlib works outside of Python's lock
    found = threads.map(lambda leaf: _digest(np.asarray(leaf[1])), leaves)
    return {
      jax.tree_util.keystr(path, simple=True, separator='/'): digest
      for (path, _), digest in zip(leaves, found, strict=True)
    }


def _digest(array: np.ndarray) -> str:
  header = f'{array.dtype} {array.shape}'.encode()
  content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
  return f'{zlib.crc32(content, zlib.crc32(header)):08x}'
