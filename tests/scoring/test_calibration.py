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
  return fit_calibration(np.array(scores), np.arange(len(scores)), rule(**fields), map_maximum=2.0)


def test_calibration_scales_held_out_scores_to_0_and_1() -> None:
  held_out = [2.0, 4.0, 3.0, 6.0]
  calibration = fit(held_out, false_alarms=0.5)
  assert calibration[:4] == (2.0, 6.0, 4.0, 4)  # the threshold has rank ceil(0.5 · 5), by hand
  assert calibration.limit == 0.5 and calibration.held_out.tolist() == [2, 3, 4, 6]
  np.testing.assert_allclose(scale(np.array(held_out), calibration), [0, 0.5, 0.25, 1])
  assert scale(np.array([8.0]), calibration) == pytest.approx(1.5)  # Eq. 14 past its maximum


def test_one_held_out_image_still_gives_a_scale() -> None:
  assert scale(np.array([2.5]), fit([2.0])) == pytest.approx(0.5)


@pytest.mark.parametrize(('rate', 'rank'), [(0.01, 101), (0.0099, 101), (0.05, 97), (0.5, 51)])
def test_the_threshold_is_the_score_of_the_rank_that_gives_at_most_the_rate(
  rate: float, rank: int
) -> None:
  # Of n = 101 parts, (n + 1 - rank) / (n + 1) of new ones are over the one of that rank.
  scores = np.random.default_rng(0).permutation(np.arange(1, 102)).astype(float)
  assert fit(scores.tolist(), false_alarms=rate).threshold == rank
  assert (102 - rank) / 102 <= rate


def test_a_part_counts_once_by_its_highest_score() -> None:
  scores, groups = np.array([1.0, 5.0, 2.0, 3.0]), np.array([7, 7, 8, 9])
  calibration = fit_calibration(scores, groups, rule(false_alarms=0.5), map_maximum=2.0)
  assert calibration.held_out.tolist() == [2, 3, 5]
  assert (calibration.num_images, calibration.num_groups) == (4, 3)
  assert calibration.threshold == 3 and 'of 3 parts' in describe_threshold(calibration, rule())


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


def test_too_few_parts_for_a_rate_are_told_the_lowest_and_how_many_it_takes() -> None:
  calibration = fit([1.0, 2.0, 3.0], false_alarms=0.01)
  assert calibration.limit == 1
  text = describe_threshold(calibration, rule(false_alarms=0.01))
  assert 'at most 0.25 false alarms, the lowest rate that 3 parts can promise' in text
  assert '0.01 takes 99' in text
  assert 'lowest' not in describe_threshold(fit([*range(99)], false_alarms=0.01), rule())


def test_a_given_threshold_is_a_scaled_score() -> None:
  assert fit([2.0, 4.0], threshold=1.5).threshold == 5
  assert fit([2.0, 4.0], threshold=1.5).limit == 1.5
  with pytest.raises(InputError, match='it must be a finite number'):
    rule(threshold=float('nan'))
  with pytest.raises(InputError, match='false_alarms=0: no threshold promises that'):
    rule(false_alarms=0.0)
