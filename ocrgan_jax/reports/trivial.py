"""Trivial scores, without training, that a model has to beat on the same images."""

import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.model.inputs import to_float
from ocrgan_jax.networks import frequency_decoupling
from ocrgan_jax.scoring.metrics import image_auroc

TRIVIAL = ('largest_high_frequency', 'mean_brightness', 'mean_energy')
NEAREST = 'nearest_training_image'  # minus the similarity to it, from `data/grouping.py`


@jax.jit
def trivial_scores(images: jax.Array) -> dict[str, jax.Array]:
  """Computes the scores TRIVIAL from the model's input.

  Args:
    images: uint8 [batch, size, size, 3 or 4].

  Returns:
    name → float32 [batch]: mean brightness, mean energy (square), and largest absolute value of
    the higher of two bands, all of images in [-1, 1].
  """
  x = to_float(images)
  return {
    'mean_brightness': x.mean((1, 2, 3)),
    'mean_energy': jnp.square(x).mean((1, 2, 3)),
    'largest_high_frequency': jnp.abs(frequency_decoupling(x, 2)[1]).max((1, 2, 3)),
  }


def trivial_aurocs(
  labels: np.ndarray, scores: dict[str, np.ndarray]
) -> dict[str, tuple[float, str]]:
  """Computes the AUROCs of trivial scores on a test set.

  Args:
    labels: int [images], 1 for anomalous.
    scores: name → float [images].

  Returns:
    name → AUROC in the better direction, and the anomalous side: 'high' or 'low'. The direction is
    selected on the test set, which favours the trivial score; only that of NEAREST is fixed. Empty
    if a class is missing.
  """
  table = {}
  for name, values in scores.items():
    auroc = image_auroc(labels, values)
    if auroc is not None:
      high = auroc >= 0.5 or name == NEAREST
      table[name] = (auroc, 'high') if high else (1 - auroc, 'low')
  return table
