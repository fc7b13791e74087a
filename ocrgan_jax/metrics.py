"""How well scores tell anomalous images from normal ones. Anomalous is positive."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score


def image_auroc(labels: np.ndarray, scores: np.ndarray) -> float | None:
  """The area under the ROC curve over images.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images], larger for more anomalous.

  Returns:
    0 to 1, or None where one of the classes is missing and it means nothing.
  """
  if len(np.unique(labels)) < 2:
    return None
  return float(roc_auc_score(labels, scores))


def trivial_aurocs(labels: np.ndarray, scores: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
  """What scores that know nothing of the training set reach on a test set.

  Args:
    labels: int [images], 1 for anomalous.
    scores: name → float [images].

  Returns:
    name → `auroc`, of the better direction, and `anomalous`, that direction:
    'high' if larger values count as anomalous, 'low' if smaller ones do. The
    direction is chosen on the test set, to the trivial score's favour. Empty
    where a class is missing.
  """
  table: dict[str, dict[str, Any]] = {}
  for name, values in scores.items():
    auroc = image_auroc(labels, values)
    if auroc is not None:
      high = auroc >= 0.5
      direction = 'high' if high else 'low'
      table[name] = {'auroc': auroc if high else 1 - auroc, 'anomalous': direction}
  return table
