"""What is left of each image of a set once what they share is taken off."""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ocrgan_jax.twins.squares import BLOCK, COARSE, FINE, padded
from ocrgan_jax.twins.template import Template, check_images, residuals


class Description(NamedTuple):
  """What is left of each image; 33 kB an image.

  Attributes:
    coarse: of norm 1, float32 [n, 256].
    fine: of norm 128, float16 [n, 128, 128].
  """

  coarse: np.ndarray
  fine: np.ndarray


def describe(images: np.ndarray, template: Template, block: int = BLOCK) -> Description:
  """Takes off what images share, and keeps the rest at two resolutions.

  Args:
    images: grey, uint8 [n, 128, 128].
    template: from `fit_template`, of these images or of some of them.
    block: how many are computed at a time; no twin depends on it.

  Returns:
    What is left of each.

  Raises:
    ValueError: if the images are not uint8 [n, 128, 128].
  """
  check_images(images)
  n = len(images)
  coarse = np.zeros((n, COARSE * COARSE), np.float32)
  fine = np.zeros((n, FINE, FINE), np.float16)
  with tqdm(None, 'describing images', n, unit='image', leave=False, disable=not n) as bar:
    for start in range(0, n, block):
      rows = slice(start, min(start + block, n))
      grey = padded(images[rows].astype(np.float32), block)
      count = rows.stop - rows.start
      coarse[rows], fine[rows] = (np.asarray(x)[:count] for x in residuals(grey, template))
      bar.update(count)
  return Description(coarse, fine)
