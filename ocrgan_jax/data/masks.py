"""The masks of a test set."""

import sys

import numpy as np

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.decoding import decode_mask
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL


def load_masks(test: Split, size: int) -> dict[int, np.ndarray]:
  """The masks of the test images that pixel metrics can be computed on.

  Args:
    test: the test set.
    size: side in pixels that masks are resized to, see `decoding.decode_mask`.

  Returns:
    index of the image → bool [size, size], all False for normal images. Anomalous
    images without a mask, or whose mask has no pixel left, are left out, the latter
    with a warning.
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
          'it is ignored',
          file=sys.stderr,
        )
  return masks
