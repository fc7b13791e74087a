import itertools
from statistics import NormalDist

import cv2
import numpy as np
import pytest

from ocrgan_jax.scoring.metrics import (
  image_auroc,
  image_metrics,
  intervals,
  per_defect_type,
  pixel_metrics,
  rates,
)

LABELS = np.array([0, 0, 1, 1])


def test_anomalous_is_the_positive_class() -> None:
  assert image_auroc(LABELS, np.array([0.0, 1.0, 2.0, 3.0])) == 1
  assert image_auroc(LABELS, np.array([3.0, 2.0, 1.0, 0.0])) == 0
  # Three of the four pairs are in order.
  assert image_auroc(LABELS, np.array([0.0, 2.0, 1.0, 3.0])) == pytest.approx(0.75)
  assert set(image_metrics(np.zeros(3), np.arange(3.0)).values()) == {None}  # one class alone


def test_image_metrics_by_hand() -> None:
  metrics = image_metrics(LABELS, np.array([0.0, 2.0, 1.0, 3.0]))
  # From the top: 3 (hit), 2 (miss), 1 (hit): precisions 1 and 2/3 at the hits.
  assert metrics['image_ap'] == pytest.approx((1 + 2 / 3) / 2)
  # At 1 both are caught with one false alarm: precision 2/3, recall 1, F1 0.8.
  assert metrics['image_f1_max'] == pytest.approx(0.8)
  assert metrics['image_f1_threshold'] == 1


def test_rates_at_a_threshold_by_hand() -> None:
  scores = np.array([0.0, 2.0, 1.0, 3.0])
  assert rates(LABELS, scores, 1.5) == {'precision': 0.5, 'recall': 0.5, 'false_alarm_rate': 0.5}
  # An unlabelled image above the threshold counts for nothing.
  assert rates(np.array([0, -1, 1, 1]), scores, 1.5)['precision'] == 1
  nothing_above = rates(LABELS, scores, 9.0)
  assert nothing_above == {'precision': None, 'recall': 0, 'false_alarm_rate': 0}


def test_each_defect_type_against_all_normal_images() -> None:
  labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.0, 2.0, 1.0, 3.0, 4.0])
  table = per_defect_type(labels, ['good', 'good', 'dent', 'hole', 'hole'], scores, 2.5)
  assert table == {
    'dent': {'num': 1, 'image_auroc': 0.5, 'recall': 0},
    'hole': {'num': 2, 'image_auroc': 1, 'recall': 1},
  }


def test_bootstrap_intervals_cover_as_they_should() -> None:
  """Two normal distributions d apart have AUROC Φ(d / √2)."""
  rng, shift, trials = np.random.default_rng(0), 1.0, 300
  truth = NormalDist().cdf(shift / np.sqrt(2))
  labels = np.repeat([0, 1], [40, 60])
  covered = 0
  for trial in range(trials):
    scores = rng.normal(size=100) + shift * labels
    low, high = intervals(labels, scores, samples=200, seed=trial)['image_auroc']
    covered += low <= truth <= high
  # 95 % wanted; the percentile bootstrap is known to fall a little short at this size.
  assert 0.91 <= covered / trials <= 0.98


def test_the_bootstrap_resamples_the_metrics_that_scikit_learn_computes() -> None:
  """If all scores of a class are equal, so are all resamples."""
  labels = np.repeat([0, 1], [30, 10])
  for scores in (labels * 1.0, np.zeros(40), 1.0 - labels):
    metrics = image_metrics(labels, scores)
    for name, ends in intervals(labels, scores, samples=5).items():
      assert ends == pytest.approx((metrics[name], metrics[name])), name


def plain_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
  """AUPRO by its definition, threshold by threshold and region by region (found by OpenCV)."""
  regions = []
  for i, mask in enumerate(masks):
    count, numbered = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    regions += [(i, numbered == n) for n in range(1, count)]
  points = [(0.0, 0.0)]
  for threshold in np.unique(maps)[::-1]:
    above = maps >= threshold
    overlap = [above[i][region].mean() for i, region in regions]
    points.append((above[~masks].mean(), float(np.mean(overlap))))
  area = 0.0
  for (x0, y0), (x1, y1) in itertools.pairwise(points):
    if x0 < limit:
      if x1 > limit:
        x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
      area += (x1 - x0) * (y0 + y1) / 2
  return area / limit


def test_pixel_metrics_agree_with_their_definitions() -> None:
  """On maps of few levels, so that many values are equal, and regions that touch at corners."""
  rng = np.random.default_rng(0)
  masks = rng.random((5, 16, 16)) < 0.15
  masks[0] = False
  maps = np.round(rng.random(masks.shape) + 0.4 * masks, 1)
  auroc = pixel_metrics(maps, masks)['pixel_auroc']
  assert auroc == pytest.approx(image_auroc(masks.ravel(), maps.ravel()))
  for limit in (0.05, 0.3, 1.0):
    found = pixel_metrics(maps, masks, fpr_limit=limit)['aupro']
    assert found == pytest.approx(plain_aupro(maps, masks, limit), abs=1e-6)
  assert pixel_metrics(masks * 1.0, masks) == {'pixel_auroc': 1, 'pixel_ap': 1, 'aupro': 1}
  assert set(pixel_metrics(maps, np.zeros_like(masks)).values()) == {None}
