from statistics import NormalDist

import numpy as np
import pytest

from ocrgan_jax.metrics import (
  auroc_interval,
  image_auroc,
  image_metrics,
  per_defect_type,
  rates,
  trivial_aurocs,
)

LABELS = np.array([0, 0, 1, 1])


def test_anomalous_is_the_positive_class() -> None:
  assert image_auroc(LABELS, np.array([0.0, 1.0, 2.0, 3.0])) == 1
  assert image_auroc(LABELS, np.array([3.0, 2.0, 1.0, 0.0])) == 0
  # Three of the four pairs are in order.
  assert image_auroc(LABELS, np.array([0.0, 2.0, 1.0, 3.0])) == pytest.approx(0.75)


def test_one_class_alone_has_no_metrics() -> None:
  assert image_auroc(np.ones(3), np.arange(3.0)) is None
  assert trivial_aurocs(np.ones(3), {'any': np.arange(3.0)}) == {}
  assert set(image_metrics(np.zeros(3), np.arange(3.0)).values()) == {None}


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
    low, high = auroc_interval(labels, scores, samples=400, seed=trial)
    covered += low <= truth <= high
    assert low <= image_auroc(labels, scores) <= high
  # 95 % wanted; the percentile bootstrap is known to fall a little short at this size.
  assert 0.91 <= covered / trials <= 0.98


def test_trivial_scores_are_taken_in_their_better_direction_and_say_so() -> None:
  scores = {'falling': np.array([3.0, 2.0, 1.0, 0.0]), 'rising': np.array([0.0, 2.0, 1.0, 3.0])}
  assert trivial_aurocs(LABELS, scores) == {
    'falling': {'auroc': 1.0, 'anomalous': 'low'},
    'rising': {'auroc': 0.75, 'anomalous': 'high'},
  }
