import jax
import numpy as np

from ocrgan_jax.reports.trivial import trivial_aurocs, trivial_scores


def test_trivial_scores_by_hand() -> None:
  """For an image of one colour, and a chequerboard of single pixels."""
  plain = np.full((32, 32, 3), 51, np.uint8)
  checked = np.where(np.indices((32, 32)).sum(0) % 2, 255, 0)[..., None].repeat(3, 2)
  scores = jax.device_get(trivial_scores(np.stack([plain, checked]).astype(np.uint8)))
  np.testing.assert_allclose(scores['mean_brightness'], [-0.6, 0], atol=1e-6)
  np.testing.assert_allclose(scores['mean_energy'], [0.36, 1], atol=1e-6)
  # The low band of the first is the image itself; the chequerboard has no low frequencies.
  np.testing.assert_allclose(scores['largest_high_frequency'], [0, 1], atol=1e-6)


def test_trivial_scores_use_and_report_their_better_direction() -> None:
  scores = {'falling': np.array([3.0, 2.0, 1.0, 0.0]), 'rising': np.array([0.0, 2.0, 1.0, 3.0])}
  assert trivial_aurocs(np.array([0, 0, 1, 1]), scores) == {
    'falling': (1.0, 'low'),
    'rising': (0.75, 'high'),
  }
  assert trivial_aurocs(np.ones(4), scores) == {}
