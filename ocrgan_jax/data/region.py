"""Finds the region of interest: where products lie before a plain background.

The rule. Each photograph's background is the median colour of its border, 2 % of its sides
wide. How far a pixel is from it is the largest difference over the colours. At each position
the 0.95 quantile of that over the photographs says whether a product may lie there. K-means
divides the positions into two classes by it; the nearer one is background, but for holes in the
other. A margin of 2 % is added. If the border itself is no plain colour, there is no background.
"""

import math
import sys

import numpy as np
from scipy.ndimage import binary_dilation, binary_fill_holes

from ocrgan_jax.data.framing import border_pixels

QUANTILE = 0.95  # of the photographs
MARGIN = 0.02  # of the side
# The border's mean distance from its median, of the full range, up to which it is plain.
PLAIN = 0.04


def find_region(photographs: np.ndarray) -> np.ndarray | None:
  """Finds where products lie.

  Args:
    photographs: uint8 [images, size, size, 3], whole ones, of sound products.

  Returns:
    bool [size, size], or None, and a line on stderr, if there is no plain background.
  """
  distances, roughness = [], []
  for image in photographs:
    border = border_pixels(image).astype(np.float32)
    color = np.median(border, axis=0)
    distances.append(np.abs(image - color).max(-1) / 255)
    roughness.append(np.abs(border - color).max(-1).mean() / 255)
  if np.median(roughness) > PLAIN:
    print(
      'warning: data.region=auto finds no plain background around the products '
      f'(their border varies by {np.median(roughness):.1%} of the full range, over {PLAIN:.0%}): '
      'everything counts',
      file=sys.stderr,
    )
    return None
  distance = np.quantile(np.stack(distances), QUANTILE, axis=0)
  from sklearn.cluster import KMeans  # slow to import, and seldom needed

  classes = KMeans(2, n_init=1, random_state=0).fit(distance.reshape(-1, 1))
  product = classes.labels_ == classes.cluster_centers_[:, 0].argmax()
  region = binary_fill_holes(product.reshape(distance.shape))
  margin = math.ceil(MARGIN * len(region))
  return np.asarray(binary_dilation(region, np.ones((3, 3)), iterations=margin), bool)
