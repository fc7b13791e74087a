"""What the images of a set share, and what is left of an image without it.

Two parts of one product look alike: same outline, same light. All that is taken off, so that what
correlates afterwards is the part itself.

1. Detail: a band-pass (brightness and slow lighting go), divided by its local strength.
2. The mean detail of the set and its first principal components are projected out. Each image
   counts in eight orientations, so that a turned copy loses what the image loses.
3. Each frequency is divided by its strength over the set, so that edges do not outweigh texture.

At 16×16 positions, for the search, the components x with variance λ are damped by
sqrt(μ / (λ + μ)) instead, where μ is the usual variance of a component.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from ocrgan_jax.core.linear_filters import gaussian_matrix
from ocrgan_jax.twins.squares import (
  COARSE,
  FINE,
  ORIENTATIONS,
  filled,
  in_blocks,
  oriented,
  unit,
)

FIT_IMAGES = 192  # of which what is shared is computed
COMPONENTS = 120  # principal components, of all orientations, that may be taken off
SHARED_BY = 10  # only what more images than these share is taken off
FLOOR = 1e-2  # of the strongest frequency; weaker ones are not raised to its strength
FLAT = 0.1  # grey levels; an image that varies by less has no twins
WINDOW_POWER = 0.25  # of a Hann window: only the outermost positions fade


class Template(NamedTuple):
  """What the images of a set share."""

  mean: jax.Array  # mean detail, float32 [128, 128]
  components: jax.Array  # orthonormal rows to project out, float32 [k, 16384]
  weights: jax.Array  # one a frequency, float32 [128, 65]
  coarse_mean: jax.Array  # mean coarse detail, float32 [256]
  coarse_matrix: jax.Array  # damps what is shared, float32 [256, 256]


class Description(NamedTuple):
  """What is left of each image once what they share is taken off; 33 kB an image."""

  coarse: np.ndarray  # of norm 1, float32 [n, 256]
  fine: np.ndarray  # of norm 128, float16 [n, 128, 128]


def fit_template(images: np.ndarray) -> Template:
  """Computes what images share.

  Args:
    images: grey, uint8 [n, 128, 128], at least one. Of more than FIT_IMAGES, so many are drawn,
      always the same.

  Raises:
    ValueError: if the images are of another type or shape, or there are none.
  """
  _check(images)
  if not len(images):
    raise ValueError('there is no image to fit a template to')
  chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:FIT_IMAGES])
  grey = images[chosen].astype(np.float32)
  fine, fine_mean, fine_means = _all_orientations(_fine_detail, grey)
  scaled = unit(fine - fine_mean)
  scaled -= (scaled @ fine_means.T) @ fine_means
  # The components of few vectors in many dimensions, from the products of the vectors.
  values, vectors = np.linalg.eigh(scaled @ scaled.T)
  count = min(COMPONENTS, len(scaled) // 13)  # of few images, too little would be left
  values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
  sharing = 1 / (vectors**4).sum(0) / ORIENTATIONS
  shared = (sharing > SHARED_BY) & (values > 1e-4 * len(scaled) / scaled.shape[1])
  components = (vectors[:, shared].T @ scaled) / np.sqrt(values[shared])[:, None]
  components = np.concatenate([fine_means, components])
  rest = fine[: len(grey)] - fine_mean
  rest -= (rest @ components.T) @ components
  weights = _frequency_weights(rest.reshape(-1, FINE, FINE))
  coarse_mean, matrix = _coarse_damping(grey)
  arrays = fine_mean.reshape(FINE, FINE), components, weights, coarse_mean, matrix
  return Template(*(jnp.asarray(x, jnp.float32) for x in arrays))


def describe(images: np.ndarray, template: Template) -> Description:
  """Takes off what images share, and keeps the rest at two resolutions.

  Args:
    images: grey, uint8 [n, 128, 128].
    template: of these images or of some of them.

  Raises:
    ValueError: if the images are of another type or shape.
  """
  _check(images)
  coarse = np.zeros((len(images), COARSE * COARSE), np.float32)
  fine = np.zeros(images.shape, np.float16)
  for block in in_blocks(np.arange(len(images)), 'describing images'):
    rest = _rest(filled(images[block].astype(np.float32)), template)
    coarse[block], fine[block] = (np.asarray(x)[: len(block)] for x in rest)
  return Description(coarse, fine)


def _check(images: np.ndarray) -> None:
  if images.dtype != np.uint8 or images.shape[1:] != (FINE, FINE):
    raise ValueError(f'images are uint8 [n, {FINE}, {FINE}], not {images.dtype} {images.shape}')


@jax.jit
def _rest(grey: jax.Array, template: Template) -> tuple[jax.Array, jax.Array]:
  """As in `Description`, of float32 [n, 128, 128] in grey levels; 0 for a flat image."""
  n = len(grey)
  fine = (_fine_detail(grey) - template.mean).reshape(n, -1)
  fine -= (fine @ template.components.T) @ template.components
  fine = fine.reshape(n, FINE, FINE) * _window(FINE)
  fine = jnp.fft.irfft2(jnp.fft.rfft2(fine) * template.weights, (FINE, FINE))
  fine = _evened(fine, _blur(FINE, 6))
  coarse = unit(_coarse_detail(grey).reshape(n, -1) - template.coarse_mean)
  coarse = unit(coarse @ template.coarse_matrix)
  seen = grey.std((1, 2)) > FLAT
  # Values of norm 1 are too small for float16.
  fine = FINE * unit(fine.reshape(n, -1)).reshape(fine.shape) * seen[:, None, None]
  return coarse * seen[:, None], fine.astype(jnp.float16)


def _all_orientations(
  detail: Callable, grey: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The details [8 n, d] of turned images, their mean [d], and the span [k, d] of turned means."""
  turned = np.asarray(detail(grey))
  turned = np.stack([oriented(turned, k) for k in range(ORIENTATIONS)])
  turned = turned.reshape(ORIENTATIONS, len(grey), -1)
  _, size, rows = np.linalg.svd(turned.mean(1), full_matrices=False)
  span = rows[(size > 0.1 * size[0]) & (size > 1e-3)]
  return turned.reshape(-1, turned.shape[-1]), turned.mean((0, 1)), span


def _frequency_weights(rest: np.ndarray) -> np.ndarray:
  """One over the strength of each frequency [128, 65] in what is left of images [n, 128, 128]."""
  power = np.abs(np.fft.fft2(rest * _window(FINE))) ** 2
  power = (power / np.maximum(power.sum((1, 2), keepdims=True), 1e-12)).sum(0)
  # Orientations commute with the weights if these have the symmetry of the square.
  power = power + np.roll(power[::-1], 1, 0)
  power = ndimage.gaussian_filter(power + power.T, 1.5, mode='wrap')
  weights = 1 / np.sqrt(power + FLOOR * power.max() + 1e-12)
  weights[0, 0] = 0
  return weights[:, : FINE // 2 + 1]


def _coarse_damping(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The mean coarse detail [256] and the matrix [256, 256] that damps what is shared."""
  coarse, mean, means = _all_orientations(_coarse_detail, grey)
  scaled = unit(coarse - mean)
  scaled -= (scaled @ means.T) @ means
  values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
  values = np.maximum(values, 0)
  usual = max(SHARED_BY / len(grey), 1 / COARSE**2) * values.sum() + 1e-12
  matrix = (vectors * np.sqrt(usual / (values + usual))) @ vectors.T
  return mean, matrix - means.T @ (means @ matrix)


@jax.jit
def _fine_detail(grey: jax.Array) -> jax.Array:
  """The band between Gaussians of 1 and 6 of 128 positions, of even strength."""
  narrow, wide = _blur(FINE, 1), _blur(FINE, 6)
  smooth = narrow @ grey @ narrow.T
  return _evened(smooth - wide @ smooth @ wide.T, wide)


@jax.jit
def _coarse_detail(grey: jax.Array) -> jax.Array:
  """Float32 [n, 16, 16]: what a Gaussian of 3 of 16 positions leaves, of even strength."""
  step = FINE // COARSE
  grey = grey.reshape(len(grey), COARSE, step, COARSE, step).mean((2, 4))
  wide = _blur(COARSE, 3)
  return _evened(grey - wide @ grey @ wide.T, wide) * _window(COARSE)


def _evened(x: jax.Array, blur: np.ndarray) -> jax.Array:
  """Divides [n, size, size] by its local strength, not below a third of that of the image."""
  strength = blur @ (x * x) @ blur.T
  return x / jnp.sqrt(strength + 0.1 * strength.mean((1, 2), keepdims=True) + 1e-6)


def _blur(size: int, sigma: float) -> np.ndarray:
  return gaussian_matrix(size, sigma, 'nearest').astype(np.float32)


def _window(size: int) -> np.ndarray:
  row = np.hanning(size + 2)[1:-1] ** WINDOW_POWER
  return (row[:, None] * row).astype(np.float32)
