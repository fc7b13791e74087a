"""The anomaly map and score of an image, Eq. 13 (III-E). `calibration.py` scales them.

Larger scores are more anomalous. An image's score does not depend on the other images.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ocrgan_jax.core.checks import at_least, between, check, one_of
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.linear_filters import gaussian_matrix
from ocrgan_jax.heads.maps import SHARES, on

# `map_sigma` and `map_top` are given at this image size and scale with it.
REFERENCE_SIZE = 256


class NetworkOutputs(NamedTuple):
  """Inputs of maps and scores. Under jit, only those in use are computed.

  Attributes:
    images: float [batch, size, size, 3].
    reconstructions: shaped like `images`.
    latent: `D_lat` of the images, [batch, 100].
    reconstructed_latent: `D_lat` of the reconstructions, [batch, 100].
    valid: bool [batch, size, size], False for pixels to ignore; None if all count.
  """

  images: jax.Array
  reconstructions: jax.Array
  latent: Any
  reconstructed_latent: Any
  valid: Any = None


def content_error(
  images: jax.Array, reconstructions: jax.Array, distance: str, valid: jax.Array | None = None
) -> jax.Array:
  """L_con of each image over the pixels that count: [batch, size, size, 3] twice → [batch]."""
  difference = images - reconstructions
  difference = jnp.abs(difference) if distance == 'l1' else jnp.square(difference)
  if valid is None:
    return difference.mean((1, 2, 3))
  return (difference.mean(-1) * valid).sum((1, 2)) / jnp.maximum(valid.sum((1, 2)), 1)


def latent_error(latent: jax.Array, reconstructed_latent: jax.Array) -> jax.Array:
  """L_lat of each image: [batch, 100] twice → [batch]."""
  return jnp.square(latent - reconstructed_latent).mean(1)


def difference_map(images: jax.Array, reconstructions: jax.Array) -> jax.Array:
  """|I − Î|, averaged over colours: [batch, size, size, 3] twice → [batch, size, size]."""
  return jnp.abs(images - reconstructions).mean(-1)


def smooth(maps: jax.Array, sigma: float) -> jax.Array:
  """Smooths maps with a Gaussian.

  Like `scipy.ndimage.gaussian_filter`, it truncates at four standard deviations and mirrors at the
  borders.

  Args:
    maps: float [batch, size, size].
    sigma: see `Score.map_sigma`; 0 for no smoothing.

  Returns:
    float32 [batch, size, size].
  """
  if not sigma:
    return maps
  size = maps.shape[1]
  # Filtering an axis is a product with the matrix whose columns are the filtered unit vectors.
  matrix = jnp.asarray(gaussian_matrix(size, sigma * size / REFERENCE_SIZE), jnp.float32)
  return jnp.einsum('ij,bjk,lk->bil', matrix, maps, matrix, precision='highest')


def map_score(maps: jax.Array, top: int) -> jax.Array:
  """Averages the k largest values of each map.

  Args:
    maps: float [batch, size, size].
    top: see `Score.map_top`.

  Returns:
    float32 [batch].
  """
  batch, size, _ = maps.shape
  count = max(1, round(top * (size / REFERENCE_SIZE) ** 2))
  return lax.top_k(maps.reshape(batch, -1), min(count, size * size))[0].mean(1)


def eq13_score(outputs: NetworkOutputs, maps: jax.Array, rule: 'Score') -> jax.Array:
  """Eq. 13, [batch]. A term of weight 0 is skipped, so that it is not computed."""
  del maps
  score = jnp.zeros(())
  if rule.content_weight > 0:
    error = content_error(
      outputs.images, outputs.reconstructions, rule.content_distance, outputs.valid
    )
    score = rule.content_weight * error
  if rule.content_weight < 1:
    error = latent_error(outputs.latent, outputs.reconstructed_latent)
    score = score + (1 - rule.content_weight) * error
  return score


HEADS = 'heads'  # the kind of score of the recipe `bands`, see `heads/judgement.py`
# Kinds of score: name → function of the outputs, the finished maps and the rule, [batch].
SCORES: dict[str, Callable[[NetworkOutputs, jax.Array, 'Score'], jax.Array]] = {
  'eq13': eq13_score,
  'map': lambda outputs, maps, rule: map_score(maps, rule.map_top),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
  """The config's section `score`: how images are scored.

  Attributes:
    kind: 'eq13', the paper's content and latent error; 'map', the mean of the anomaly map's
      largest values; or 'heads', one score from several heads over the bands.
    heads: the heads that are on, keys of `heads.maps.SHARES`, separated by commas.
    content_weight: λ of Eq. 13, the weight of the content error; the latent error has 1 - λ.
    content_distance: 'l1', the mean absolute difference (Eq. 13), or 'squared', the mean squared
      difference (the release).
    map_sigma: standard deviation of the Gaussian that smooths the map, in pixels at size 256.
    map_top: k, the number of largest map values to average, in pixels at size 256 (the same share
      of the pixels at other sizes).
    false_alarms: the highest false-alarm rate that is wanted, over 0.
    threshold: fixed scaled score, used instead unless it is None.

  Raises:
    InputError: if a field is out of bounds.
  """

  kind: str = one_of(*SCORES, HEADS)
  content_weight: float = between(0, 1)
  content_distance: str = one_of('l1', 'squared')
  heads: str
  map_sigma: float = at_least(0)
  map_top: int = at_least(1)
  false_alarms: float = between(0, 1)
  threshold: float | None

  def __post_init__(self) -> None:
    check(self, 'score')
    named = {name.strip() for name in self.heads.split(',')}
    if unknown := named - {*SHARES}:
      raise InputError(
        f'score.heads names {min(unknown)!r}; use one or more of {", ".join(SHARES)}, '
        'separated by commas'
      )
    if not self.false_alarms:
      raise InputError(
        'score.false_alarms=0: no threshold promises that. Give a rate such as 0.001, or any '
        'threshold with score.threshold'
      )
    if self.threshold is not None and not math.isfinite(self.threshold):
      raise InputError(f'score.threshold is {self.threshold}; it must be a finite number')

  @property
  def heads_on(self) -> tuple[str, ...]:
    """The heads that are on, in the order of `heads.maps.SHARES`; none for other kinds."""
    return on(self.heads) if self.kind == HEADS else ()

  @property
  def is_on_map(self) -> bool:
    """Whether the score is a value of the anomaly map, so that its threshold is the map's, too."""
    return self.kind != 'eq13'

  @property
  def needs_latent(self) -> bool:
    """Whether the score uses `D_lat`."""
    return self.kind == 'eq13' and self.content_weight < 1


def anomaly_map(outputs: NetworkOutputs, rule: Score) -> jax.Array:
  """Computes smoothed anomaly maps, not yet in map units; ignored pixels are 0.

  Args:
    outputs: of the images.
    rule: how to score.

  Returns:
    float32 [batch, size, size].
  """
  maps = smooth(difference_map(outputs.images, outputs.reconstructions), rule.map_sigma)
  return maps if outputs.valid is None else maps * outputs.valid
