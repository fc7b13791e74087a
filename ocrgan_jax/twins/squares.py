"""Grey squares: their sizes, their orientations, and the blocks in which they are computed."""

from typing import Any

import numpy as np

FINE, HALF, COARSE = 128, 64, 16  # positions a side
ORIENTATIONS = 8  # four turns, then the same mirrored
BLOCK = 128  # images, or pairs of images, that are computed at a time


def oriented(squares: np.ndarray, orientation: int) -> np.ndarray:
  """Turns and mirrors squares.

  Args:
    squares: [n, size, size].
    orientation: 0 to 7; quarters to turn by, modulo 4. From 4 on they are mirrored, too.

  Returns:
    [n, size, size], a view.
  """
  turned = np.rot90(squares, orientation % 4, (1, 2))
  return turned[:, :, ::-1] if orientation >= 4 else turned


def padded(x: np.ndarray, length: int) -> np.ndarray:
  """Repeats the last row until there are `length` of them, so that all calls have one shape."""
  return np.concatenate([x, np.repeat(x[-1:], length - len(x), 0)]) if len(x) < length else x


def unit(x: Any) -> Any:
  """Scales the rows [n, d] of a NumPy or JAX array to norm 1; rows of zeros stay."""
  return x / ((x * x).sum(-1, keepdims=True) ** 0.5 + 1e-12)
