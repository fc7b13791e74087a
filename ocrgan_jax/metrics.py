"""How well scores tell anomalous images from normal ones. Anomalous is positive."""

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

BOOTSTRAP_SAMPLES = 1000
CONFIDENCE = 0.95


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


def auroc_interval(
  labels: np.ndarray,
  scores: np.ndarray,
  *,
  samples: int = BOOTSTRAP_SAMPLES,
  confidence: float = CONFIDENCE,
  seed: int = 0,
) -> tuple[float, float]:
  """A percentile bootstrap interval of the AUROC: how sure a test set of this size is.

  Images are drawn anew with replacement, as many of either class as there are. An
  AUROC is the share of pairs (anomalous, normal) that are in order, so a draw is a
  weighing of the rows and columns of the table of pairs.

  Args:
    labels: int [images], 1 for anomalous; both classes.
    scores: float [images].
    samples: number of draws.
    confidence: of the interval.
    seed: of the draws.

  Returns:
    Its ends.
  """
  positive, negative = scores[labels == 1], scores[labels == 0]
  pairs = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
  rng = np.random.default_rng(seed)
  shares = lambda n: rng.multinomial(n, np.full(n, 1 / n), samples) / n
  aurocs = ((shares(len(positive)) @ pairs) * shares(len(negative))).sum(1)
  low, high = np.quantile(aurocs, [(1 - confidence) / 2, (1 + confidence) / 2])
  return float(low), float(high)


def image_metrics(labels: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
  """The threshold-free metrics of `metrics.json`.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images], larger for more anomalous.

  Returns:
    `image_auroc`, its 95 % bootstrap interval `image_auroc_interval`, average
    precision `image_ap`, and the best F1, `image_f1_max`, with the threshold that
    it is reached at (chosen on these images, so no operating point to be
    expected of others). All None where a class is missing.
  """
  names = 'image_auroc', 'image_auroc_interval', 'image_ap', 'image_f1_max', 'image_f1_threshold'
  auroc = image_auroc(labels, scores)
  if auroc is None:
    return dict.fromkeys(names)
  precision, recall, thresholds = precision_recall_curve(labels, scores)
  # The curve's last point, recall 0, has no threshold.
  total = np.maximum(precision + recall, np.finfo(float).tiny)[:-1]
  f1 = 2 * (precision * recall)[:-1] / total
  best = int(f1.argmax())
  values = (
    auroc,
    list(auroc_interval(labels, scores)),
    float(average_precision_score(labels, scores)),
    float(f1[best]),
    float(thresholds[best]),
  )
  return dict(zip(names, values, strict=True))


def rates(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float | None]:
  """What a threshold makes of images.

  Args:
    labels: int [images], 1 for anomalous, 0 for normal; others do not count.
    scores: float [images].
    threshold: images above it are called anomalous.

  Returns:
    `precision`, `recall` (the share of anomalous images that are caught) and
    `false_alarm_rate` (the share of normal images that are called anomalous);
    None where there is nothing to take a share of.
  """
  above = scores > threshold
  share = lambda part, whole: float(part.sum() / whole.sum()) if whole.any() else None
  anomalous, normal = labels == 1, labels == 0
  return {
    'precision': share(above & anomalous, above & (anomalous | normal)),
    'recall': share(above & anomalous, anomalous),
    'false_alarm_rate': share(above & normal, normal),
  }


def per_defect_type(
  labels: np.ndarray, defect_types: list[str], scores: np.ndarray, threshold: float
) -> dict[str, dict[str, Any]]:
  """The metrics of each defect type alone, against all normal images.

  Args:
    labels: int [images], 1 for anomalous.
    defect_types: of the images.
    scores: float [images].
    threshold: see `rates`.

  Returns:
    defect type → `num`, `image_auroc` and `recall`.
  """
  types = np.array(defect_types)
  table = {}
  for name in sorted(set(types[labels == 1].tolist())):
    chosen = (types == name) & (labels == 1)
    compared = chosen | (labels == 0)
    table[name] = {
      'num': int(chosen.sum()),
      'image_auroc': image_auroc(labels[compared], scores[compared]),
      'recall': rates(labels[chosen], scores[chosen], threshold)['recall'],
    }
  return table


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
