import numpy as np
import pytest

from ocrgan_jax.metrics import image_auroc, trivial_aurocs

LABELS = np.array([0, 0, 1, 1])


def test_anomalous_is_the_positive_class() -> None:
  assert image_auroc(LABELS, np.array([0.0, 1.0, 2.0, 3.0])) == 1
  assert image_auroc(LABELS, np.array([3.0, 2.0, 1.0, 0.0])) == 0
  # Three of the four pairs are in order.
  assert image_auroc(LABELS, np.array([0.0, 2.0, 1.0, 3.0])) == pytest.approx(0.75)


def test_one_class_alone_has_no_auroc() -> None:
  assert image_auroc(np.ones(3), np.arange(3.0)) is None
  assert trivial_aurocs(np.ones(3), {'any': np.arange(3.0)}) == {}


def test_trivial_scores_are_taken_in_their_better_direction_and_say_so() -> None:
  scores = {'falling': np.array([3.0, 2.0, 1.0, 0.0]), 'rising': np.array([0.0, 2.0, 1.0, 3.0])}
  assert trivial_aurocs(LABELS, scores) == {
    'falling': {'auroc': 1.0, 'anomalous': 'low'},
    'rising': {'auroc': 0.75, 'anomalous': 'high'},
  }
