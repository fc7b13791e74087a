"""The AUROC without test images that have a twin in training, i.e. show a part the model knows."""

from typing import Any

import numpy as np

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.scoring.metrics import image_auroc, intervals

LEAST = 5  # images of each class from which on an AUROC without twins is the headline
PLAIN, WITHOUT = 'image_auroc', 'image_auroc_without_twins'
# For `metrics.json`, where the training images are not there to compare with.
TWINS_UNKNOWN = {'num_normal_twins': None, 'num_anomalous_twins': None, 'headline': PLAIN}


def without_twins(test: Split, known: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
  """Computes the AUROC without test images that have a twin in training.

  Args:
    test: the test set.
    known: bool [images], whether an image's group is one of training's.
    scores: float [images], larger for more anomalous.

  Returns:
    For `metrics.json`: `num_normal_twins` and `num_anomalous_twins`, test images with a twin in
    training; and if there is a sound one, `image_auroc_without_twins` with its 95 % interval (None
    if a class is missing), `headline`, the name of the AUROC to quote, and `headline_reason`.
    Without one, `headline` is `image_auroc`.
  """
  normal, anomalous = test.labels == NORMAL, test.labels == ANOMALOUS
  found: dict[str, Any] = {
    'num_normal_twins': int((known & normal).sum()),
    'num_anomalous_twins': int((known & anomalous).sum()),
    'headline': PLAIN,
  }
  if not found['num_normal_twins']:
    return found
  new = ~known & (normal | anomalous)
  left = int((new & normal).sum()), int((new & anomalous).sum())
  labels, scores = test.labels[new], scores[new]
  auroc = image_auroc(labels, scores)
  reason = f'{left[0]} sound and {left[1]} defective test images have no twin in training'
  enough = min(left) >= LEAST
  return {
    **found,
    WITHOUT: auroc,
    f'{WITHOUT}_interval': None if auroc is None else list(intervals(labels, scores)[PLAIN]),
    'headline': WITHOUT if enough else PLAIN,
    'headline_reason': reason + ('' if enough else f', and it takes {LEAST} of each'),
  }


def twin_lines(metrics: dict[str, Any]) -> list[str]:
  """Formats the entries of `without_twins` for the console; nothing without a sound twin."""
  if not metrics['num_normal_twins']:
    return []
  value = 'undefined'
  if metrics[WITHOUT] is not None:
    low, high = metrics[f'{WITHOUT}_interval']
    value = f'{metrics[WITHOUT]:.3f}  (95 % interval: {low:.3f} to {high:.3f})'
  also = metrics['num_anomalous_twins']
  defective = f' and {also} of {metrics["num_anomalous"]} defective' if also else ''
  which = 'the AUROC without them' if metrics['headline'] == WITHOUT else 'the AUROC of all images'
  return [
    f'image AUROC without twins: {value}',
    f'  {metrics["num_normal_twins"]} of {metrics["num_normal"]} sound{defective} test images show '
    'a part that training shows, too',
    f'  quote {which}: {metrics["headline_reason"]}',
  ]
