"""One score and one map from several heads."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ocrgan_jax.core.linear_filters import resize_maps
from ocrgan_jax.heads.maps import Heads, finest_scores, head_maps, scores_of_maps
from ocrgan_jax.heads.measurements import grid_sides, measure
from ocrgan_jax.heads.tails import LEAST, combine, head_surprises, place_surprise


class Judgement(NamedTuple):
  """Scores, maps and surprises of a batch of images.

  Attributes:
    score: float32 [batch], -log p of all heads together; see `heads/tails.py`.
    map: float32 [batch, size, size]. The score's formula at each place, shifted by one constant
      per image so that its maximum equals the score: verdict and picture agree.
    heads: -log p of each head, float32 [batch, heads].
    features: mean statistics, for figures, float32 [batch, CHANNELS].
  """

  score: jax.Array
  map: jax.Array
  heads: jax.Array
  features: jax.Array


def judge(heads: Heads, images: jax.Array, valid: jax.Array | None = None) -> Judgement:
  """Judges images. Under jit, only the results in use are computed.

  Args:
    heads: fitted.
    images: float [batch, size, size, 3] in [-1, 1].
    valid: bool [batch, size, size], False for pixels to ignore; None if all count.

  Returns:
    The judgement.
  """
  measured, size = measure(images, valid), images.shape[1]
  cells = grid_sides(size)[1]
  found = head_maps(heads, measured)
  surprises = head_surprises(heads.tails, scores_of_maps(found, measured.valid))
  there = finest_scores(found).values()
  places = [combine(place_surprise(heads.tails, numbers, own)) for numbers, own in there]
  places = [resize_maps(x, cells) for x in places]
  together = combine(surprises)
  maps = resize_maps(combine(jnp.stack(places)), size)
  lowest = maps.min((1, 2), keepdims=True)
  if valid is not None:
    maps = jnp.where(valid, maps, lowest)
  score = together[:, None, None]
  maps = maps - maps.max((1, 2), keepdims=True) + score
  # Values near and below 0 are squeezed into what is left above it; their order stays.
  low = jnp.clip(score, LEAST, 1.0)
  maps = jnp.where(maps > low, maps, low * jnp.exp(jnp.minimum(maps - low, 0.0) / low))
  if valid is not None:
    maps = maps * valid
  return Judgement(together, maps, surprises.T, measured.statistics.mean((1, 2)))
