"""Grey squares: their sizes and orientations, and the blocks in which they are computed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

FINE, HALF, COARSE = 128, 64, 16  # positions a side
ORIENTATIONS = 8  # four turns, then the same mirrored
BLOCK = 128  # images, or pairs of images, that are computed at a time; no twin depends on it


def oriented(squares: np.ndarray, orientation: int) -> np.ndarray:
  """A view of squares [n, size, size], turned by quarters; mirrored from orientation 4 on."""
  turned = np.rot90(squares, orientation % 4, (1, 2))
  return turned[:, :, ::-1] if orientation >= 4 else turned


def in_blocks(rows: np.ndarray, progress: str) -> Iterator[np.ndarray]:
  """Yields up to BLOCK rows at a time, with a progress bar of this label."""
  if len(rows):
    with tqdm(total=len(rows), desc=progress, leave=False) as bar:
      for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        yield block
        bar.update(len(block))


def filled(x: np.ndarray) -> np.ndarray:
  """Repeats the last row until there are BLOCK of them, so that every block has one shape."""
  return np.concatenate([x, np.repeat(x[-1:], BLOCK - len(x), 0)])


def unit(x: Any) -> Any:
  """Scales the rows [n, d] of a NumPy or JAX array to norm 1; rows of zeros stay."""
  return x / ((x * x).sum(-1, keepdims=True) ** 0.5 + 1e-12)
