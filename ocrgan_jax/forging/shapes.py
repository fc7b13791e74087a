"""Irregular shapes for forged defects, drawn on the device.

A shape is an ellipse whose border is distorted by smooth noise. A little noise gives a blob or, if
stretched, a scratch; a lot gives islands and holes. All shapes come from one formula with random
parameters, so the shapes of a batch are computed together.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

AREA = (0.0005, 0.12)  # share of the image, log-uniform
ASPECT = (1 / 12, 12)  # of the ellipse's axes, log-uniform
NOISE = (0.1, 1.5)  # strength of the border's distortion, in radii
SOFTNESS = (0.5, 4.0)  # width of the border in pixels at 256, log-uniform
GRIDS = (4, 8, 16, 32)  # scales of the noise: points per side of its random grids
SECOND_SHAPE = 0.5  # probability of a second shape


def draw_shapes(key: jax.Array, size: int) -> jax.Array:
  """Draws the mask of one image, of one or two shapes.

  Args:
    key: PRNG key.
    size: side of the image.

  Returns:
    float32 [size, size], 1 inside the shapes, 0 outside, and in between at their soft borders.
  """
  first, second, count = jax.random.split(key, 3)
  masks = [_shape(k, size) for k in (first, second)]
  two = jax.random.uniform(count) < SECOND_SHAPE
  return jnp.where(two, jnp.maximum(*masks), masks[0])


def _shape(key: jax.Array, size: int) -> jax.Array:
  keys = jax.random.split(key, 4)
  draws = jax.random.uniform(keys[0], (6,))
  area = log_uniform(draws[0], AREA) * size**2
  aspect = log_uniform(draws[1], ASPECT)
  radii = jnp.sqrt(area / math.pi * jnp.stack([aspect, 1 / aspect]))
  angle = math.pi * draws[2]
  bend = NOISE[0] + draws[3] ** 2 * (NOISE[1] - NOISE[0])
  softness = log_uniform(draws[4], SOFTNESS) * size / 256
  centre = jax.random.uniform(keys[1], (2,)) * size
  at = jnp.arange(size) + 0.5
  y, x = (at - centre[0])[:, None], (at - centre[1])[None, :]
  u = (jnp.cos(angle) * x + jnp.sin(angle) * y) / radii[0]
  v = (jnp.cos(angle) * y - jnp.sin(angle) * x) / radii[1]
  # Distance to the border in radii; times the smaller radius it is roughly in pixels.
  inside = 1 + bend * smooth_noise(keys[2], size) - jnp.sqrt(u**2 + v**2)
  return jnp.clip(0.5 + inside * radii.min() / softness, 0, 1)


def smooth_noise(key: jax.Array, size: int) -> jax.Array:
  """Noise at a random mixture of scales, of about unit variance: float32 [size, size]."""
  weights_key, *keys = jax.random.split(key, len(GRIDS) + 1)
  weights = jax.nn.softmax(2 * jax.random.normal(weights_key, (len(GRIDS),)))
  total = jnp.zeros((size, size))
  for weight, grid, k in zip(weights, GRIDS, keys, strict=True):
    matrix = jnp.asarray(_interpolation(size, grid), jnp.float32)
    total += weight * matrix @ jax.random.normal(k, (grid, grid)) @ matrix.T
  return total * jax.lax.rsqrt(jnp.square(weights).sum())


def _interpolation(size: int, grid: int) -> np.ndarray:
  """The matrix [size, grid] of linear interpolation from `grid` points, end points included."""
  at = np.linspace(0, grid - 1, size)[:, None]
  return np.maximum(0, 1 - np.abs(at - np.arange(grid)))


def log_uniform(draw: jax.Array, bounds: tuple[float, float]) -> jax.Array:
  """Maps uniform draws in [0, 1) to log-uniform ones between the bounds."""
  low, high = map(math.log, bounds)
  return jnp.exp(low + draw * (high - low))
