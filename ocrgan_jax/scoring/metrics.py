"""Metrics of how well scores separate anomalous (positive) from normal images.

scikit-learn is slow to import, and most commands need no metrics, so functions import it.
"""

from typing import Any

import numpy as np
from scipy import ndimage

INTERVAL_METRICS = ('image_auroc', 'image_ap', 'image_f1_max')
PIXEL_METRICS = ('pixel_auroc', 'pixel_ap', 'aupro')
FPR_LIMIT = 0.3  # AUPRO integrates up to this false positive rate
BOOTSTRAP_SAMPLES = 1000
CONFIDENCE = 0.95


def image_auroc(labels: np.ndarray, scores: np.ndarray) -> float | None:
  """Computes the area under the ROC curve over images.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images], larger for more anomalous.

  Returns:
    0 to 1; None (undefined) if a class is missing.
  """
  if len(np.unique(labels)) < 2:
    return None
  from sklearn.metrics import roc_auc_score

  return float(roc_auc_score(labels, scores))


def image_metrics(labels: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
  """Computes the threshold-free metrics of `metrics.json` with 95 % bootstrap intervals.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images], larger for more anomalous.

  Returns:
    `image_auroc`; `image_ap`, the average precision; `image_f1_max`, the best F1, and its
    threshold `image_f1_threshold` (chosen on these images, so it is worse on others);
    `image_auroc_interval` and so on, from `intervals`. All are None if a class is missing.
  """
  auroc = image_auroc(labels, scores)
  if auroc is None:
    names = [name + end for name in INTERVAL_METRICS for end in ('', '_interval')]
    return dict.fromkeys([*names, 'image_f1_threshold'])
  from sklearn.metrics import average_precision_score, precision_recall_curve

  precision, recall, thresholds = precision_recall_curve(labels, scores)
  # The curve's last point, recall 0, has no threshold.
  total = np.maximum(precision + recall, np.finfo(float).tiny)[:-1]
  f1 = 2 * (precision * recall)[:-1] / total
  best = int(f1.argmax())
  return {
    'image_auroc': auroc,
    'image_ap': float(average_precision_score(labels, scores)),
    'image_f1_max': float(f1[best]),
    'image_f1_threshold': float(thresholds[best]),
    **{f'{name}_interval': list(ends) for name, ends in intervals(labels, scores).items()},
  }


def intervals(
  labels: np.ndarray,
  scores: np.ndarray,
  *,
  samples: int = BOOTSTRAP_SAMPLES,
  seed: int = 0,
) -> dict[str, tuple[float, float]]:
  """Computes percentile bootstrap intervals, the uncertainty of a test set of this size.

  Images are resampled with replacement within each class. A resample only changes the images'
  weights, so they are sorted once for all resamples.

  Args:
    labels: int [images], 1 for anomalous; both classes.
    scores: float [images].
    samples: number of resamples.
    seed: for the resamples.

  Returns:
    The bounds of `image_auroc`, `image_ap` and `image_f1_max`.
  """
  order = np.argsort(-scores, kind='stable')
  positive = labels[order] == 1
  # No threshold separates equal scores, so the curves have one point after each group of them.
  points = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
  rng = np.random.default_rng(seed)

  def resample(chosen: np.ndarray) -> np.ndarray:
    """Draws a resample; returns the share of a class above each point, with a leading 0."""
    count = int(chosen.sum())
    weights = np.zeros(len(scores))
    weights[chosen] = rng.multinomial(count, np.full(count, 1 / count)) / count
    return np.concatenate([[0], np.cumsum(weights)[points]])

  resampled = []
  ratio = (~positive).sum() / positive.sum()
  for _ in range(samples):
    recall, false_alarms = resample(positive), resample(~positive)
    called = recall + false_alarms * ratio
    precision = recall / np.maximum(called, np.finfo(float).tiny)
    average_precision = (np.diff(recall) * precision[1:]).sum()
    f1 = 2 * recall / (1 + called)
    resampled.append((np.trapezoid(recall, false_alarms), average_precision, f1.max()))
  ends = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
  columns = zip(INTERVAL_METRICS, *ends.tolist(), strict=True)
  return {name: (low, high) for name, low, high in columns}


def pixel_metrics(
  maps: np.ndarray, masks: np.ndarray, *, fpr_limit: float = FPR_LIMIT
) -> dict[str, float | None]:
  """Computes how well anomaly maps find the defective pixels.

  AUPRO is the area under the per-region overlap (PRO) up to a false positive rate, divided by that
  rate. PRO at a threshold is the share of a defective region above it, averaged over all connected
  regions (8-connected). False positives are the sound pixels above it. This is a ROC curve in
  which each region has the same weight (Bergmann et al., the MVTec AD dataset, IJCV 2021).

  Args:
    maps: float [images, size, size], larger for more anomalous.
    masks: bool [images, size, size], all False for normal images.
    fpr_limit: highest false positive rate of AUPRO.

  Returns:
    `pixel_auroc`, `pixel_ap` and `aupro`; all None if no pixel or every pixel is defective.
  """
  if masks.all() or not masks.any():
    return dict.fromkeys(PIXEL_METRICS)
  from sklearn.metrics import average_precision_score, roc_auc_score

  # The functions below sort again, which is fast for sorted values.
  order = np.argsort(maps, axis=None, kind='stable')
  defective, values = masks.ravel()[order], maps.ravel()[order]
  results = (
    roc_auc_score(defective, values),
    average_precision_score(defective, values),
    _area_under_pro(defective, values, _region_weights(masks).ravel()[order], fpr_limit),
  )
  return dict(zip(PIXEL_METRICS, map(float, results), strict=True))


def _region_weights(masks: np.ndarray) -> np.ndarray:
  """1 for sound pixels, 1 / (size of the region) for defective ones; shaped like `masks`."""
  weights = np.ones(masks.shape, np.float32)
  for weight, mask in zip(weights, masks, strict=True):
    if mask.any():
      regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
      weight[mask] = 1 / np.bincount(regions.ravel())[regions[mask]]
  return weights


def _area_under_pro(
  defective: np.ndarray, values: np.ndarray, weights: np.ndarray, limit: float
) -> float:
  from sklearn.metrics import roc_curve

  fpr, pro, _ = roc_curve(defective, values, sample_weight=weights)
  inside = fpr <= limit
  last = np.interp(limit, fpr, pro)
  area = np.trapezoid(np.append(pro[inside], last), np.append(fpr[inside], limit))
  return float(area / limit)


def rates(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float | None]:
  """Computes precision, recall and false-alarm rate at a threshold.

  Args:
    labels: int [images], 1 for anomalous, 0 for normal; others are ignored.
    scores: float [images].
    threshold: images above it are called anomalous.

  Returns:
    `precision`, `recall` (share of anomalous images found) and `false_alarm_rate` (share of
    normal images called anomalous); each is None if its denominator is 0.
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
  """Computes the metrics of each defect type against all normal images.

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
