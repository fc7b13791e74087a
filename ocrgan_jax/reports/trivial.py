"""Scores that need no training: what a model has to beat on the same images."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.model.inputs import to_float
from ocrgan_jax.networks import frequency_decoupling
from ocrgan_jax.scoring.metrics import image_auroc

# Fitted to normal images, they have a direction of their own: high is anomalous.
BAND_STATISTICS = 'band_statistics'


@jax.jit
def trivial_scores(images: jax.Array) -> dict[str, jax.Array]:
  """Scores of images, in the space of the network. Each one given here is reported.

  Args:
    images: uint8 [batch, size, size, 3].

  Returns:
    name → float32 [batch]: the mean brightness, the mean energy (square) of the
    image in [-1, 1], and the largest absolute value of the higher of two bands.
  """
  x = to_float(images)
  return {
    'mean_brightness': x.mean((1, 2, 3)),
    'mean_energy': jnp.square(x).mean((1, 2, 3)),
    'largest_high_frequency': jnp.abs(frequency_decoupling(x, 2)[1]).max((1, 2, 3)),
  }


def trivial_aurocs(labels: np.ndarray, scores: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
  """The AUROCs of trivial scores on a test set.

  Args:
    labels: int [images], 1 for anomalous.
    scores: name → float [images].

  Returns:
    name → `auroc`, of the better direction, and `anomalous`, that direction:
    'high' if larger values count as anomalous, 'low' if smaller ones do. The
    direction is chosen on the test set, which favours the trivial score (but for
    BAND_STATISTICS). Empty where a class is missing.
  """
  table: dict[str, dict[str, Any]] = {}
  for name, values in scores.items():
    auroc = image_auroc(labels, values)
    if auroc is not None:
      high = auroc >= 0.5 or name == BAND_STATISTICS
      direction = 'high' if high else 'low'
      table[name] = {'auroc': auroc if high else 1 - auroc, 'anomalous': direction}
  return table
