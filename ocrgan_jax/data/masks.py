"""The masks of a test set."""

import sys

import numpy as np

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.decoding import decode_mask
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL


def load_masks(test: Split, size: int) -> dict[int, np.ndarray]:
  """Loads the masks of the test images, for pixel metrics.

  Leaves out anomalous images without a mask, and those whose mask is empty after resizing;
  the latter with a warning.

  Args:
    test: the test set.
    size: side of the masks in pixels; see `decoding.decode_mask`.

  Returns:
    Index of the image → bool [size, size], all False for normal images.
  """
  masks = {}
  for i, label in enumerate(test.labels):
    if label == NORMAL:
      masks[i] = np.zeros((size, size), bool)
    elif label == ANOMALOUS and (content := test.records[i]['mask']):
      mask = decode_mask(content, size)
      if mask.any():
        masks[i] = mask
      else:
        print(
          f'warning: the mask of {test.names[i]} has no defective pixel at {size}x{size}: '
          'it is ignored for pixel metrics',
          file=sys.stderr,
        )
  return masks
