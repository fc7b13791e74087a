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

from ocrgan_jax.core.checks import at_least, between, check, one_of, one_of_bound, require
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.density.gaussian import Gaussians
from ocrgan_jax.scoring.similarity import gradient_difference

# Sizes of the map's rule are given at this side and keep their share of the image at others.
REFERENCE_SIZE = 256
# The least unit of a pixel, as a share of the mean over all pixels: where normal images are
# reconstructed almost perfectly, rounding must not pass for a defect.
LEAST_UNIT = 0.1


class Outputs(NamedTuple):
  """What a map or a score can look at. Under jit only what it looks at is computed.

  Attributes:
    images: float [batch, size, size, 3].
    reconstructions: shaped alike; None, as what follows, where nothing was trained.
    latent: `D_lat` of the images, [batch, 100].
    reconstructed_latent: `D_lat` of the reconstructions, [batch, 100].
    distance: from the density, [batch, h, w]; None where none was fitted.
    pixel_logits: of a D that judges pixels, [batch, h, w].
    counts: where pixels count, bool [batch, size, size]; None where all do.
  """

  images: jax.Array
  reconstructions: Any = None
  latent: Any = None
  reconstructed_latent: Any = None
  distance: Any = None
  pixel_logits: Any = None
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
  'gradient': lambda x: gradient_difference(x.images, x.reconstructions),
  'density': lambda x: at_size(x.distance, x.images.shape[1]),
  # How little D takes a pixel for normal: -log of the probability it gives to that.
  'pixels': lambda x: at_size(jax.nn.softplus(x.pixel_logits), x.images.shape[1]),
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
    map: what the anomaly map is, a key of MAPS, or several with '+' between them: their
      mean, each in its own units.
    map_sigma: standard deviation of the Gaussian that smooths the map, in pixels at 256.
    map_units: 1 in the map is what held-out normal images show on average, 'overall'
      (over all pixels) or 'pixel' (at that pixel).
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
  map: str
  map_sigma: float = at_least(0)
  map_units: str = one_of('overall', 'pixel')
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
    for name in self.maps:
      require('score.map', name, one_of_bound(*MAPS))

  @property
  def maps(self) -> tuple[str, ...]:
    """The names of the maps that are added."""
    return tuple(self.map.replace(' ', '').split('+'))

  @property
  def needs_networks(self) -> bool:
    """Whether the score looks at what G or D make of an image, other than in a density."""
    return self.kind == 'eq13' or self.maps != ('density',)

  @property
  def needs_density(self) -> bool:
    """Whether a density has to be fitted."""
    return self.kind == 'map' and 'density' in self.maps

  @property
  def needs_latent(self) -> bool:
    """Whether `D_lat` has a part in the score."""
    return self.kind == 'eq13' and self.content_weight < 1

  @property
  def needs_pixels(self) -> bool:
    """Whether a D that judges pixels has a part in the score."""
    return self.kind == 'map' and 'pixels' in self.maps


def anomaly_maps(outputs: Outputs, rule: Score) -> jax.Array:
  """Where images are anomalous, by each of the rule's maps, smoothed and in no units yet.

  Args:
    outputs: that the maps look at.
    rule: of the score.

  Returns:
    float32 [batch, maps, size, size].
  """
  maps = jnp.stack([smooth(MAPS[name](outputs), rule.map_sigma) for name in rule.maps], axis=1)
  return maps if outputs.counts is None else maps * outputs.counts[:, None]


def anomaly_map(outputs: Outputs, rule: Score, unit: jax.Array) -> jax.Array:
  """The mean of the rule's maps, each in its units: float32 [batch, size, size].

  Args:
    outputs: that the maps look at.
    rule: of the score.
    unit: float32 [maps, size, size], see `map_unit`.

  Returns:
    The map.
  """
  return (anomaly_maps(outputs, rule) / unit).mean(1)


class Reference(NamedTuple):
  """What images are compared with when they are scored.

  Attributes:
    map_unit: float32 [maps, size, size], 1 in each anomaly map, see `Score.map_units`.
    density: of normal images, if the map is the distance from it.
  """

  map_unit: Any
  density: tuple[Gaussians, ...] | None = None


def map_unit(mean_map: np.ndarray, units: str) -> np.ndarray:
  """What stands for 1 in an anomaly map.

  Args:
    mean_map: float [size, size], the mean of one kind of map over held-out normal images.
    units: see `Score.map_units`.

  Returns:
    float32 [size, size]; for 'pixel' at least `LEAST_UNIT` of the mean over all pixels.
  """
  overall = max(float(mean_map.mean()), float(np.finfo(np.float32).tiny))
  if units == 'overall':
    return np.full(mean_map.shape, overall, np.float32)
  return np.maximum(mean_map, LEAST_UNIT * overall).astype(np.float32)
