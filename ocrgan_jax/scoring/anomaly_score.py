"""The anomaly map and score of an image, Eq. 13 (III-E); their scale is in `calibration.py`.

A larger score is more anomalous. A score depends on its image alone.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.ndimage import gaussian_filter1d

from ocrgan_jax.core.checks import at_least, between, check, one_of
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.density.gaussian import Gaussians

# Sizes of the map's rule are given at this side and keep their share of the image at others.
REFERENCE_SIZE = 256


class Outputs(NamedTuple):
  """What a map or a score can look at. Under jit only what it looks at is computed.

  Attributes:
    images: float [batch, size, size, 3].
    reconstructions: shaped alike; None, as what follows, where nothing was trained.
    latent: `D_lat` of the images, [batch, 100].
    reconstructed_latent: `D_lat` of the reconstructions, [batch, 100].
    distance: from the density, [batch, h, w]; None where none was fitted.
    counts: where pixels count, bool [batch, size, size]; None where all do.
  """

  images: jax.Array
  reconstructions: Any = None
  latent: Any = None
  reconstructed_latent: Any = None
  distance: Any = None
  counts: Any = None


def content_error(
  images: jax.Array, reconstructions: jax.Array, distance: str, counts: jax.Array | None = None
) -> jax.Array:
  """L_con of each image alone, where its pixels count: [batch, size, size, 3] twice → [batch]."""
  difference = images - reconstructions
  difference = jnp.abs(difference) if distance == 'l1' else jnp.square(difference)
  if counts is None:
    return difference.mean((1, 2, 3))
  return (difference.mean(-1) * counts).sum((1, 2)) / jnp.maximum(counts.sum((1, 2)), 1)


def latent_error(latent: jax.Array, reconstructed_latent: jax.Array) -> jax.Array:
  """L_lat of each image alone: [batch, 100] twice → [batch]."""
  return jnp.square(latent - reconstructed_latent).mean(1)


def difference_map(images: jax.Array, reconstructions: jax.Array) -> jax.Array:
  """|I − Î|, the mean over the colours: [batch, size, size, 3] twice → [batch, size, size]."""
  return jnp.abs(images - reconstructions).mean(-1)


def at_size(maps: jax.Array, size: int) -> jax.Array:
  """Maps at the images' resolution, bilinear: [batch, h, w] → [batch, size, size]."""
  # As `jax.image.resize`, which the conversion to ONNX knows for batches of fixed size only.
  count = maps.shape[1]
  at = (np.arange(size) + 0.5) * count / size - 0.5
  weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))
  matrix = jnp.asarray(weights / weights.sum(1, keepdims=True), jnp.float32)
  return jnp.einsum('ij,bjk,lk->bil', matrix, maps, matrix, precision='highest')


def smooth(maps: jax.Array, sigma: float) -> jax.Array:
  """Smooths maps with a Gaussian.

  It is cut off at four standard deviations and mirrored at the borders, as
  `scipy.ndimage.gaussian_filter` does it.

  Args:
    maps: float [batch, size, size].
    sigma: see `Score.map_sigma`; 0 does not smooth.

  Returns:
    float32 [batch, size, size].
  """
  if not sigma:
    return maps
  size = maps.shape[1]
  # Filtering one axis is a product with a matrix, whose columns are the filtered unit vectors.
  filtered = gaussian_filter1d(np.eye(size), sigma * size / REFERENCE_SIZE, axis=0)
  matrix = jnp.asarray(filtered, jnp.float32)
  return jnp.einsum('ij,bjk,lk->bil', matrix, maps, matrix, precision='highest')


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


def eq13_score(outputs: Outputs, maps: jax.Array, rule: 'Score') -> jax.Array:
  """Eq. 13, [batch]; a term of weight 0 is left out, not multiplied, so it is not computed."""
  del maps
  score = jnp.zeros(())
  if rule.content_weight > 0:
    error = content_error(
      outputs.images, outputs.reconstructions, rule.content_distance, outputs.counts
    )
    score = rule.content_weight * error
  if rule.content_weight < 1:
    error = latent_error(outputs.latent, outputs.reconstructed_latent)
    score = score + (1 - rule.content_weight) * error
  return score


# What an anomaly map can be: name → function of the outputs, [batch, size, size].
MAPS: dict[str, Callable[[Outputs], jax.Array]] = {
  'difference': lambda x: difference_map(x.images, x.reconstructions),
  'density': lambda x: at_size(x.distance, x.images.shape[1]),
}
# How an image is scored: name → function of the outputs, the finished maps and the rule, [batch].
SCORES: dict[str, Callable[[Outputs, jax.Array, 'Score'], jax.Array]] = {
  'eq13': eq13_score,
  'map': lambda outputs, maps, rule: map_score(maps, rule.map_top),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
  """The config's section `score`: how images are scored.

  Attributes:
    kind: 'eq13', the paper's error of content and latent features, or 'map', the
      mean of the largest values of the anomaly map.
    content_weight: λ of Eq. 13, the share of the content error; 1 - λ is the latent's.
    content_distance: 'l1', the mean absolute difference, as Eq. 13 has it, or
      'squared', the mean squared difference, as the release has it.
    map: what the anomaly map is, a key of MAPS.
    map_sigma: standard deviation of the Gaussian that smooths the map, in pixels at 256.
    map_top: k, how many of the map's largest values the score is the mean of, at 256
      (the same share of the pixels at other sizes).
    threshold_quantile: the quantile of the scores of held-out normal images at
      which the threshold lies.
    false_alarms: the rate of false alarms that the threshold aims at instead; 0 for none.
    threshold: the scaled score that is the threshold instead; None for none.

  Raises:
    InputError: if a field is out of bounds, or the threshold is asked for in two ways.
  """

  kind: str = one_of(*SCORES)
  content_weight: float = between(0, 1)
  content_distance: str = one_of('l1', 'squared')
  map: str = one_of(*MAPS)
  map_sigma: float = at_least(0)
  map_top: int = at_least(1)
  threshold_quantile: float = between(0, 1)
  false_alarms: float = between(0, 1)
  threshold: float | None

  def __post_init__(self) -> None:
    check(self, 'score')
    if self.threshold is not None:
      if not math.isfinite(self.threshold):
        raise InputError(f'score.threshold is {self.threshold}; it must be a number')
      if self.false_alarms:
        raise InputError('score.threshold and score.false_alarms are both given; give one')

  @property
  def needs_networks(self) -> bool:
    """Whether the score looks at what G or D make of an image, other than in a density."""
    return self.kind == 'eq13' or self.map != 'density'

  @property
  def needs_density(self) -> bool:
    """Whether a density has to be fitted."""
    return self.kind == 'map' and self.map == 'density'

  @property
  def needs_latent(self) -> bool:
    """Whether `D_lat` has a part in the score."""
    return self.kind == 'eq13' and self.content_weight < 1


def anomaly_map(outputs: Outputs, rule: Score) -> jax.Array:
  """Where images are anomalous, smoothed, in no units yet; 0 where pixels do not count.

  Args:
    outputs: what the map is made from.
    rule: of the score.

  Returns:
    float32 [batch, size, size].
  """
  maps = smooth(MAPS[rule.map](outputs), rule.map_sigma)
  return maps if outputs.counts is None else maps * outputs.counts


class Reference(NamedTuple):
  """What images are compared with when they are scored.

  Attributes:
    map_unit: float32 [1, size, size], what stands for 1 in the anomaly map.
    density: of normal images, if the map is the distance from it.
  """

  map_unit: Any
  density: tuple[Gaussians, ...] | None = None


def map_unit(mean_map: np.ndarray) -> np.ndarray:
  """What stands for 1 in an anomaly map: its mean over held-out normal images and pixels.

  Args:
    mean_map: float [size, size], the mean map of held-out normal images.

  Returns:
    float32 [1, size, size], the same number everywhere.
  """
  overall = max(float(mean_map.mean()), float(np.finfo(np.float32).tiny))
  return np.full((1, *mean_map.shape), overall, np.float32)
