"""Forged defects as mixtures of frequency bands, on the device.

Inside a soft, irregular shape an image is replaced, wholly or faintly, by a filling: a
weighted sum of its own bands, of the bands of a source, of a plain colour and of noise.
The source is the image itself or another one of the batch, moved, turned, rescaled or
with its cells shuffled. A family is a way to draw the weights and the source, so a batch
of different families costs what one family costs.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ocrgan_jax.core.platforms import cpu_barrier
from ocrgan_jax.forging.shapes import draw_shapes, log_uniform

OPACITY = (0.1, 1.0)  # log-uniform
SCALE = (0.7, 1.4)  # of a rescaled source, log-uniform
GAIN = (0.3, 3.0)  # of bands that are attenuated or boosted, log-uniform
NOISE = (0.03, 0.5)  # standard deviation where images are in [-1, 1], log-uniform
CELLS = 8  # a side, of a shuffled source
GREY_TOLERANCE = 1e-3  # a grey image gets no colour, which would give the forgery away
VISIBLE = 0.1  # the change, in [-1, 1], from which a pixel counts as mostly defective


class Filling(NamedTuple):
  """How one forgery is mixed.

  Attributes:
    own: weights of the image's own bands, [N].
    source: weights of the source's bands, [N].
    colour: added to all pixels, [3].
    noise: standard deviation of white noise, scalar.
    other: whether the source is another image, bool scalar.
    shuffled: whether the cells of the source are shuffled, bool scalar.
  """

  own: jax.Array
  source: jax.Array
  colour: jax.Array
  noise: jax.Array
  other: jax.Array
  shuffled: jax.Array


def _filling(
  branches: int,
  own: jax.Array | float = 0.0,
  source: jax.Array | float = 0.0,
  colour: jax.Array | float = 0.0,
  noise: jax.Array | float = 0.0,
  *,
  other: jax.Array | bool = False,
  shuffled: bool = False,
) -> Filling:
  weights = lambda x, count: jnp.broadcast_to(jnp.asarray(x, jnp.float32), (count,))
  return Filling(
    weights(own, branches),
    weights(source, branches),
    weights(colour, 3),
    jnp.asarray(noise, jnp.float32),
    jnp.asarray(other),
    jnp.asarray(shuffled),
  )


def _gains(key: jax.Array, branches: int) -> jax.Array:
  """Gains of the bands above the lowest, at random."""
  gains = log_uniform(jax.random.uniform(key, (branches,)), GAIN)
  return gains.at[0].set(1.0)


def _swap(key: jax.Array, branches: int) -> Filling:
  """Each band but the lowest is the image's own or that of another image."""
  swapped = jax.random.bernoulli(key, 0.5, (branches,)).astype(jnp.float32)
  swapped = swapped.at[0].set(0.0).at[-1].set(1.0)
  return _filling(branches, 1 - swapped, swapped, other=True)


def _tint(key: jax.Array, branches: int) -> Filling:
  """Darker or brighter, with more or less contrast."""
  gain, shift = jax.random.uniform(key, (2,))
  return _filling(branches, log_uniform(gain, (0.5, 1.5)), colour=0.8 * (shift - 0.5))


# Families by name: (key, N) → filling.
FAMILIES: dict[str, Callable[[jax.Array, int], Filling]] = {
  'other': lambda key, n: _filling(n, source=1.0, other=True),
  'moved': lambda key, n: _filling(n, source=1.0),
  'plain': lambda key, n: _filling(n, colour=jax.random.uniform(key, (3,), minval=-1)),
  'gains': lambda key, n: _filling(n, _gains(key, n)),
  'swap': _swap,
  'blur': lambda key, n: _filling(n, jnp.arange(n) == 0),
  'tint': _tint,
  'noise': lambda key, n: _filling(n, 1.0, noise=log_uniform(jax.random.uniform(key), NOISE)),
  'shuffle': lambda key, n: _filling(n, source=1.0, shuffled=True),
}
# Families that training leaves out, for validation to see further.
VALIDATION_FAMILIES = ('tint', 'noise', 'shuffle')
TRAINING_FAMILIES = tuple(name for name in FAMILIES if name not in VALIDATION_FAMILIES)


def forge_mixtures(
  key: jax.Array, bands: list[jax.Array], families: tuple[str, ...]
) -> tuple[jax.Array, jax.Array]:
  """Forges one mixture, in one or two shapes, into every image.

  Args:
    key: PRNG key; the same key and images give the same forgeries.
    bands: of the images, N float arrays [batch, size, size, 3] that add up to images in
      [-1, 1], the lowest first.
    families: names of FAMILIES, of which each image gets one.

  Returns:
    The forged images, shaped as a band, in [-1, 1]; and what really changed, float32
    [batch, size, size]: 0 exactly where nothing did, towards 1 the more it can be seen.
  """
  images = _weighted([1.0] * len(bands), bands)
  batch, size = images.shape[:2]
  keys = jax.random.split(key, (batch, 4))
  masks = jax.vmap(_draw_mask, (0, None))(keys[:, 0], size)
  fillings = jax.vmap(_draw_filling, (0, None, None))(keys[:, 1], len(bands), families)
  each = lambda values: values[:, None, None, None]
  # The source is another image for some: the one before in the batch.
  sources = [jnp.where(each(fillings.other), jnp.roll(band, 1, axis=0), band) for band in bands]
  source = cpu_barrier(_weighted(map(each, fillings.source.T), sources))
  mixed = _weighted(map(each, fillings.own.T), bands)
  mixed += jax.vmap(_move)(keys[:, 2], source, fillings.shuffled)
  grey = images.mean(-1, keepdims=True)
  coloured = jnp.abs(images - grey).max((1, 2, 3)) > GREY_TOLERANCE
  colours = fillings.colour
  colours = jnp.where(coloured[:, None], colours, colours.mean(-1, keepdims=True))
  noise = jax.vmap(lambda k: jax.random.uniform(k, (size, size, 1), minval=-1))(keys[:, 3])
  mixed += colours[:, None, None] + each(fillings.noise) * math.sqrt(3) * noise
  forged = cpu_barrier(jnp.clip(images + masks[..., None] * (mixed - images), -1, 1))
  return forged, visible_change(images, forged)


def visible_change(images: jax.Array, forged: jax.Array) -> jax.Array:
  """What really changed: [batch, size, size, 3] twice → [batch, size, size].

  0 exactly where nothing did, towards 1 the more it can be seen.
  """
  return 1 - jnp.exp(-jnp.abs(forged - images).max(-1) / VISIBLE)


def _weighted(weights: Iterable[jax.Array | float], arrays: Iterable[jax.Array]) -> jax.Array:
  terms = [weight * array for weight, array in zip(weights, arrays, strict=True)]
  return sum(terms[1:], terms[0])


def _draw_mask(key: jax.Array, size: int) -> jax.Array:
  """The shapes of one image, as opaque as they are: [size, size]."""
  shape_key, opacity_key = jax.random.split(key)
  opacity = log_uniform(jax.random.uniform(opacity_key), OPACITY)
  return opacity * draw_shapes(shape_key, size)


def _draw_filling(key: jax.Array, branches: int, families: tuple[str, ...]) -> Filling:
  """The filling of one image, of one of the families."""
  family_key, filling_key = jax.random.split(key)
  fillings = [FAMILIES[name](filling_key, branches) for name in families]
  chosen = jax.random.randint(family_key, (), 0, len(families))
  return jax.tree.map(lambda *values: jnp.stack(values)[chosen], *fillings)


def _move(key: jax.Array, image: jax.Array, shuffled: jax.Array) -> jax.Array:
  """Moves, mirrors, turns and rescales an image, or shuffles its cells, by picking pixels."""
  size = image.shape[0]
  turn_key, *axis_keys = jax.random.split(key, 3)
  at = jnp.arange(size)

  def pick(key: jax.Array) -> jax.Array:
    order_key, draw_key = jax.random.split(key)
    shift, mirror, scale = jax.random.uniform(draw_key, (3,))
    moved = jnp.floor(at / log_uniform(scale, SCALE) + shift * size).astype(jnp.int32) % size
    moved = jnp.where(mirror < 0.5, moved, size - 1 - moved)
    cells = jax.random.permutation(order_key, CELLS)
    side = size // CELLS
    return jnp.where(shuffled, cells[at // side] * side + at % side, moved)

  rows, columns = map(pick, axis_keys)
  image = image[rows][:, columns]
  return jnp.where(jax.random.uniform(turn_key) < 0.5, image, image.swapaxes(0, 1))
