"""Forges defects by mixing frequency bands, on the device.

Inside a soft, irregular shape the image is blended with a filling: a weighted sum of its own
bands, the bands of a source, a plain colour and noise. The source is the image itself or another
one of the batch, moved, turned, rescaled or with its cells shuffled. A family only defines how
weights and source are drawn, so a batch of many families costs no more than one of a single
family.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ocrgan_jax.core.platforms import cpu_barrier
from ocrgan_jax.forging.shapes import draw_shapes, log_uniform

OPACITY = (0.1, 1.0)  # log-uniform
SCALE = (0.7, 1.4)  # scale of the source, log-uniform
GAIN = (0.3, 3.0)  # gain of attenuated or boosted bands, log-uniform
NOISE = (0.03, 0.5)  # standard deviation for images in [-1, 1], log-uniform
CELLS = 8  # cells per side of a shuffled source
GREY_TOLERANCE = 1e-3  # below it an image is grey; colour in it would give the forgery away
VISIBLE = 0.1  # a pixel that changes by more than this, in [-1, 1], counts as mostly defective


class Filling(NamedTuple):
  """The recipe of one forgery.

  Attributes:
    own: weights of the image's own bands, [N].
    source: weights of the source's bands, [N].
    colour: constant added to all pixels, [3].
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
  """Random gains of the bands; 1 for the lowest."""
  gains = log_uniform(jax.random.uniform(key, (branches,)), GAIN)
  return gains.at[0].set(1.0)


def _swap(key: jax.Array, branches: int) -> Filling:
  """Swaps a random choice of bands, never the lowest, with those of another image."""
  swapped = jax.random.bernoulli(key, 0.5, (branches,)).astype(jnp.float32)
  swapped = swapped.at[0].set(0.0).at[-1].set(1.0)
  return _filling(branches, 1 - swapped, swapped, other=True)


def _tint(key: jax.Array, branches: int) -> Filling:
  """Changes brightness and contrast."""
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


def forge_mixtures(
  key: jax.Array, bands: list[jax.Array], families: tuple[str, ...]
) -> tuple[jax.Array, jax.Array]:
  """Forges one mixture, in one or two shapes, into every image.

  Args:
    key: PRNG key; the same key and images give the same forgeries.
    bands: N float arrays [batch, size, size, 3], lowest first, that add up to images in [-1, 1].
    families: names from FAMILIES; each image gets one of them.

  Returns:
    The forged images, shaped like a band, in [-1, 1], and `visible_change` of them, float32
    [batch, size, size].
  """
  images = _weighted([1.0] * len(bands), bands)
  batch, size = images.shape[:2]
  keys = jax.random.split(key, (batch, 4))
  masks = jax.vmap(_draw_mask, (0, None))(keys[:, 0], size)
  fillings = jax.vmap(_draw_filling, (0, None, None))(keys[:, 1], len(bands), families)
  each = lambda values: values[:, None, None, None]
  # Where the source is another image, it is the previous one of the batch.
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
  """How visibly each pixel changed: [batch, size, size, 3] twice → [batch, size, size].

  Exactly 0 where nothing changed; approaches 1 as the change becomes more visible.
  """
  return 1 - jnp.exp(-jnp.abs(forged - images).max(-1) / VISIBLE)


def _weighted(weights: Iterable[jax.Array | float], arrays: Iterable[jax.Array]) -> jax.Array:
  terms = [weight * array for weight, array in zip(weights, arrays, strict=True)]
  return sum(terms[1:], terms[0])


def _draw_mask(key: jax.Array, size: int) -> jax.Array:
  """The shapes of one image times their opacity: [size, size]."""
  shape_key, opacity_key = jax.random.split(key)
  opacity = log_uniform(jax.random.uniform(opacity_key), OPACITY)
  return opacity * draw_shapes(shape_key, size)


def _draw_filling(key: jax.Array, branches: int, families: tuple[str, ...]) -> Filling:
  """Draws the filling of one image from a random family."""
  family_key, filling_key = jax.random.split(key)
  fillings = [FAMILIES[name](filling_key, branches) for name in families]
  chosen = jax.random.randint(family_key, (), 0, len(families))
  return jax.tree.map(lambda *values: jnp.stack(values)[chosen], *fillings)


def _move(key: jax.Array, image: jax.Array, shuffled: jax.Array) -> jax.Array:
  """Moves, mirrors, turns and rescales an image, or shuffles its cells."""
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
