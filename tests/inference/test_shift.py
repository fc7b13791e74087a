"""Sets of photographs that a model was not made for are warned of, and no others."""

import numpy as np
import pytest
from scipy.stats import binom

from ocrgan_jax.inference.shift import LEAST, RATE, is_shifted, shift_warning
from ocrgan_jax.scoring.anomaly_score import Score
from ocrgan_jax.scoring.calibration import Calibration, fit_calibration
from tests.conftest import tiny_model

RULE: Score = tiny_model().score


def calibrated(held_out: np.ndarray, num_groups: int = 0) -> Calibration:
  groups = np.arange(len(held_out)) % (num_groups or len(held_out))
  return fit_calibration(held_out, groups, RULE, map_maximum=1.0)


@pytest.mark.parametrize(('held_out', 'photographs'), [(12, 20), (60, 20), (40, 201)])
def test_a_set_is_called_shifted_by_chance_as_rarely_as_stated(
  held_out: int, photographs: int
) -> None:
  """The hardest case: all are sound but for a half that scores higher than any."""
  rng, draws = np.random.default_rng(0), 1000
  called = 0
  for _ in range(draws):
    scores = rng.normal(size=photographs)
    scores[: photographs // 2] = 100
    called += is_shifted(scores, rng.normal(size=held_out))
  assert called <= binom.ppf(0.999, draws, RATE)


def test_a_shifted_set_is_told_and_a_set_with_many_defects_is_not() -> None:
  rng = np.random.default_rng(0)
  calibration = calibrated(np.linspace(0, 1, 40))
  defects = np.concatenate([rng.uniform(0, 1, 30), rng.uniform(5, 9, 25)])
  for scores, shifted in (
    (rng.uniform(2, 3, LEAST), True),  # another product
    (rng.uniform(0.5, 1.5, 200), True),  # another light
    (rng.uniform(2, 3, LEAST - 1), False),  # too few to say
    (rng.uniform(0, 1, 200), False),
    (rng.uniform(-1, 0.5, 200), False),  # less unusual than training
    (defects, False),
    (np.full(50, 0.5), False),
  ):
    told = shift_warning(scores, calibration)
    assert bool(told) == shifted and '\n' not in told
  # Forty photographs of two parts are worth two.
  assert not shift_warning(np.full(LEAST, 9.0), calibrated(np.linspace(0, 1, 40), num_groups=2))
