"""Finds the region of interest: where products lie in front of a plain background.

The background of a photograph is the median colour of its border, 2 % of the sides wide. The
distance of a pixel is its largest difference from that over the colours. For each position, take
the 0.95 quantile of the distance over the photographs. K-means splits the positions into two
classes by it: the class with the smaller distance is background. Holes in the other class are
filled, and a margin of 2 % is added. If the border is not of one plain colour, there is no region.
"""

import math
import sys

import numpy as np
from scipy.ndimage import binary_dilation, binary_fill_holes

from ocrgan_jax.data.framing import border_pixels

QUANTILE = 0.95  # over the photographs
MARGIN = 0.02  # as a share of the side
# The border is plain up to this mean distance from its median, as a share of the full range.
PLAIN = 0.04


def find_region(photographs: np.ndarray) -> np.ndarray | None:
  """Finds where products lie in whole photographs, uint8 [images, size, size, 3].

  Returns:
    bool [size, size], or None, with a warning on stderr, if there is no plain background.
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
      f'(the border varies by {np.median(roughness):.1%} of the full range, over {PLAIN:.0%}): '
      'every pixel counts',
      file=sys.stderr,
    )
    return None
  distance = np.quantile(np.stack(distances), QUANTILE, axis=0)
  from sklearn.cluster import KMeans  # slow to import, rarely needed

  classes = KMeans(2, n_init=1, random_state=0).fit(distance.reshape(-1, 1))
  product = classes.labels_ == classes.cluster_centers_[:, 0].argmax()
  region = binary_fill_holes(product.reshape(distance.shape))
  margin = math.ceil(MARGIN * len(region))
  return np.asarray(binary_dilation(region, np.ones((3, 3)), iterations=margin), bool)
