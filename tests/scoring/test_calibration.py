import functools

import numpy as np
import pytest

from ocrgan_jax.configs import default
from ocrgan_jax.core.checks import read
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.scoring.anomaly_score import Score
from ocrgan_jax.scoring.calibration import (
  Calibration,
  describe_threshold,
  false_alarm_rates,
  fit_calibration,
  scale,
)


@functools.cache
def rule(**fields: float) -> Score:
  config = default.get_config()
  config.score.update(fields)
  return read(Score, config.score)


def fit(scores: list[float], **fields: float) -> Calibration:
  return fit_calibration(np.array(scores), rule(**fields), map_maximum=2.0, num_groups=len(scores))


def test_calibration_scales_held_out_scores_to_0_and_1() -> None:
  held_out = [2.0, 4.0, 3.0, 6.0]
  calibration = fit(held_out, threshold_quantile=0.5)
  assert calibration[:4] == (2.0, 6.0, 3.5, 4)  # the median threshold, by hand
  assert calibration.limit == 0.375 and calibration.held_out.tolist() == [2, 3, 4, 6]
  np.testing.assert_allclose(scale(np.array(held_out), calibration), [0, 0.5, 0.25, 1])
  assert scale(np.array([8.0]), calibration) == pytest.approx(1.5)  # Eq. 14 past its maximum


def test_one_held_out_image_still_gives_a_scale() -> None:
  assert scale(np.array([2.5]), fit([2.0])) == pytest.approx(0.5)


@pytest.mark.parametrize('quantile', [0.0, 0.5, 0.75, 0.99, 1.0])
def test_the_threshold_is_the_requested_quantile_of_held_out_scores(quantile: float) -> None:
  # Of 101 equally spaced scores the quantile q is 100 q; shuffled, for the order must not count.
  scores = np.random.default_rng(0).permutation(101).astype(float)
  calibration = fit(scores.tolist(), threshold_quantile=quantile)
  assert calibration.threshold == pytest.approx(100 * quantile)


def test_the_mean_false_alarm_rate_is_the_requested_one() -> None:
  """Over many sets of 39 held-out scores, each tested on one more score."""
  rng = np.random.default_rng(0)
  for rate in (0.05, 0.2):
    held_out, new = rng.normal(size=(2000, 39)), rng.normal(size=2000)
    thresholds = [fit(scores, false_alarms=rate).threshold for scores in held_out]
    # 39 + 1 is divisible by both: the rate is met exactly, but for three standard errors.
    assert abs((new > thresholds).mean() - rate) < 3 * np.sqrt(rate * (1 - rate) / 2000)


def test_the_interval_of_the_false_alarm_rate_covers_it_in_95_of_100_sets() -> None:
  rng = np.random.default_rng(0)
  held = 0
  for scores in rng.random((2000, 50)):  # of uniform scores the rate over t is 1 - t
    calibration = fit(scores, false_alarms=0.1)
    low, high = false_alarm_rates(calibration)
    held += low <= 1 - calibration.threshold <= high
  assert abs(held / 2000 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_too_few_images_for_a_rate_are_reported() -> None:
  calibration = fit([1.0, 2.0, 3.0], false_alarms=0.01)
  assert calibration.limit == 1
  text = describe_threshold(calibration, rule(false_alarms=0.01))
  assert '3 held-out sound photographs are too few for it; their highest score is used' in text


def test_a_given_threshold_is_a_scaled_score() -> None:
  assert fit([2.0, 4.0], threshold=1.5).threshold == 5
  assert fit([2.0, 4.0], threshold=1.5).limit == 1.5
  with pytest.raises(InputError, match='it must be a finite number'):
    rule(threshold=float('nan'))
  with pytest.raises(InputError, match='both set'):
    rule(threshold=1.0, false_alarms=0.1)
