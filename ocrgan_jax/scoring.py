"""The anomaly map and score of an image, Eq. 13, and their scale, Eq. 14 (III-E).

A larger score is more anomalous. A score depends on its image alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.ndimage import gaussian_filter1d

KINDS = ('eq13', 'map')
CONTENT_DISTANCES = ('l1', 'squared')
MAP_UNITS = ('overall', 'pixel')
# Sizes of the map's rule are given at this side and keep their share of the image at others.
REFERENCE_SIZE = 256
# The least unit of a pixel, as a share of the mean over all pixels: where normal images are
# reconstructed almost perfectly, rounding shall not pass for a defect.
LEAST_UNIT = 0.1


class Score(NamedTuple):
  """How images are scored.

  Attributes:
    kind: 'eq13', the paper's error of content and latent features, or 'map', the
      mean of the largest values of the anomaly map.
    content_weight: λ of Eq. 13, the share of the content error; 1 - λ is the latent's.
    content_distance: 'l1', the mean absolute difference, as Eq. 13 has it, or
      'squared', the mean squared difference, as the release has it.
    map_sigma: standard deviation of the Gaussian that smooths the map, in pixels at 256.
    map_units: 1 in the map is what held-out normal images show on average, 'overall'
      (over all pixels) or 'pixel' (at that pixel).
    map_top: k, how many of the map's largest values the score is the mean of, at 256
      (the same share of the pixels at other sizes).
    threshold_quantile: the quantile of the scores of held-out normal images at
      which the default threshold lies.
  """

  kind: str = 'eq13'
  content_weight: float = 0.9
  content_distance: str = 'l1'
  map_sigma: float = 4.0
  map_units: str = 'overall'
  map_top: int = 200
  threshold_quantile: float = 0.99

  @property
  def looks_at_discriminator(self) -> bool:
    """Whether D has a part in the score."""
    return self.kind == 'eq13' and self.content_weight < 1


class Calibration(NamedTuple):
  """What held-out normal images say about the scale of the scores.

  Attributes:
    minimum: the least of their scores, 0 in Eq. 14.
    maximum: the largest of them, 1 in Eq. 14.
    threshold: the raw score above which an image is called anomalous.
    num_images: how many images were held out.
    map_unit: float32 [size, size], 1 in the anomaly map, see `Score.map_units`.
    map_maximum: the largest value of their maps, in these units.
  """

  minimum: float
  maximum: float
  threshold: float
  num_images: int
  map_unit: np.ndarray
  map_maximum: float

  @property
  def width(self) -> float:
    """The range of scores that Eq. 14 maps to 0…1; 1 if all held-out scores were equal."""
    return self.maximum - self.minimum or 1.0


def content_error(images: jax.Array, reconstructions: jax.Array, distance: str) -> jax.Array:
  """L_con of each image alone: [batch, size, size, 3] twice → [batch]."""
  difference = images - reconstructions
  difference = jnp.abs(difference) if distance == 'l1' else jnp.square(difference)
  return difference.mean((1, 2, 3))


def latent_error(latent: jax.Array, reconstructed_latent: jax.Array) -> jax.Array:
  """L_lat of each image alone: [batch, 100] twice → [batch]."""
  return jnp.square(latent - reconstructed_latent).mean(1)


def anomaly_map(images: jax.Array, reconstructions: jax.Array, sigma: float) -> jax.Array:
  """|I − Î|, the mean over the colours, smoothed: where an image is anomalous.

  The Gaussian is cut off at four standard deviations and mirrored at the borders,
  as `scipy.ndimage.gaussian_filter` does it.

  Args:
    images: float [batch, size, size, 3].
    reconstructions: shaped alike.
    sigma: see `Score.map_sigma`; 0 does not smooth.

  Returns:
    float32 [batch, size, size].
  """
  difference = jnp.abs(images - reconstructions).mean(-1)
  if not sigma:
    return difference
  size = images.shape[1]
  # Filtering one axis is a product with a matrix, whose columns are the filtered unit vectors.
  filtered = gaussian_filter1d(np.eye(size), sigma * size / REFERENCE_SIZE, axis=0)
  smooth = jnp.asarray(filtered, jnp.float32)
  return jnp.einsum('ij,bjk,lk->bil', smooth, difference, smooth, precision='highest')


def map_unit(mean_map: np.ndarray, units: str) -> np.ndarray:
  """What stands for 1 in the anomaly map.

  Args:
    mean_map: float [size, size], the mean of the maps of held-out normal images.
    units: see `Score.map_units`.

  Returns:
    float32 [size, size]; for 'pixel' at least `LEAST_UNIT` of the mean over all pixels.
  """
  overall = max(float(mean_map.mean()), float(np.finfo(np.float32).tiny))
  if units == 'overall':
    return np.full(mean_map.shape, overall, np.float32)
  return np.maximum(mean_map, LEAST_UNIT * overall).astype(np.float32)


def map_score(maps: jax.Array, top: int) -> jax.Array:
  """The mean of the k largest values of each map.

  Args:
    maps: float [batch, size, size].
    top: see `Score.map_top`.

  Returns:
    float32 [batch].
  """
  batch, size, _ = maps.shape
  count = max(1, round(top * (size / REFERENCE_SIZE) ** 2))
  return lax.top_k(maps.reshape(batch, -1), min(count, size * size))[0].mean(1)


def calibrate(
  scores: np.ndarray, quantile: float, *, map_unit: np.ndarray, map_maximum: float
) -> Calibration:
  """Fits Eq. 14's scale and a threshold to the scores of held-out normal images.

  Args:
    scores: raw scores of normal images that were not trained on, at least one.
    quantile: see `Score.threshold_quantile`.
    map_unit: from `map_unit`.
    map_maximum: the largest value of their maps.

  Returns:
    The calibration, to be saved with the model.
  """
  return Calibration(
    minimum=float(scores.min()),
    maximum=float(scores.max()),
    threshold=float(np.quantile(scores, quantile)),
    num_images=len(scores),
    map_unit=map_unit,
    map_maximum=map_maximum,
  )


def scale(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
  """Eq. 14 with the minimum and maximum of held-out normal images.

  Args:
    scores: raw scores.
    calibration: from `calibrate`.

  Returns:
    Scores that are 0 to 1 over the held-out images; anomalous ones exceed 1.
    If all held-out scores were equal, the scale is of unit width.
  """
  return (scores - calibration.minimum) / calibration.width
