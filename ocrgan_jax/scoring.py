"""The anomaly score of an image, Eq. 13, and its scale, Eq. 14 (III-E).

A larger score is more anomalous. A score depends on its image alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Score(NamedTuple):
  """How Eq. 13 is taken.

  Attributes:
    content_weight: λ, the share of the content error; 1 - λ is the latent's.
    content_distance: 'l1', the mean absolute difference, as Eq. 13 has it, or
      'squared', the mean squared difference, as the release has it.
    threshold_quantile: the quantile of the scores of held-out normal images at
      which the default threshold lies.
  """

  content_weight: float = 0.9
  content_distance: str = 'l1'
  threshold_quantile: float = 0.99


CONTENT_DISTANCES = ('l1', 'squared')


class Calibration(NamedTuple):
  """What held-out normal images say about the scale of the scores.

  Attributes:
    minimum: the least of their scores, 0 in Eq. 14.
    maximum: the largest of them, 1 in Eq. 14.
    threshold: the raw score above which an image is called anomalous.
    num_images: how many images were held out.
  """

  minimum: float
  maximum: float
  threshold: float
  num_images: int


def content_error(images: jax.Array, reconstructions: jax.Array, distance: str) -> jax.Array:
  """L_con of each image alone: [batch, size, size, 3] twice → [batch]."""
  difference = images - reconstructions
  difference = jnp.abs(difference) if distance == 'l1' else jnp.square(difference)
  return difference.mean((1, 2, 3))


def latent_error(latent: jax.Array, reconstructed_latent: jax.Array) -> jax.Array:
  """L_lat of each image alone: [batch, 100] twice → [batch]."""
  return jnp.square(latent - reconstructed_latent).mean(1)


def calibrate(scores: np.ndarray, quantile: float) -> Calibration:
  """Fits Eq. 14's scale and a threshold to the scores of held-out normal images.

  Args:
    scores: raw scores of normal images that were not trained on, at least one.
    quantile: see `Score.threshold_quantile`.

  Returns:
    The calibration, to be saved with the model.
  """
  return Calibration(
    minimum=float(scores.min()),
    maximum=float(scores.max()),
    threshold=float(np.quantile(scores, quantile)),
    num_images=len(scores),
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
  width = calibration.maximum - calibration.minimum
  return (scores - calibration.minimum) / (width if width > 0 else 1.0)
