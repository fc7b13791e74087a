"""Warns when photographs as a whole are unlike those that a model was fitted to.

Another product, camera or light raises the scores of sound parts, too. Defects also raise some
scores, so only the lower half of the scores is compared with the sound scores that set the
threshold: as long as at least half of the parts are sound, the lower half of all scores is at most
as high as a sample of sound ones. A one-sided Mann-Whitney test on it therefore warns with a
probability of at most RATE, for any share of defects up to a half. That is for one test, on
photographs of different parts; repeated tests raise more false warnings.
"""

from collections import deque

import numpy as np

from ocrgan_jax.scoring.calibration import Calibration, scale

LEAST = 20  # smallest number of photographs to test
RATE = 1e-3  # of false warnings
RECENT = 200  # photographs of a stream that are tested as one set
EXACT = 5000  # pairs of scores up to which the test is exact


def is_shifted(scores: np.ndarray, sound: np.ndarray) -> bool:
  """Whether even the lower half of some scores is higher than those of sound parts.

  Args:
    scores: of the photographs, float [n], at least LEAST.
    sound: of other sound parts, float [m], on the same scale.

  Returns:
    True with a probability of at most RATE if at least half of the photographs are of sound parts
    like those.
  """
  from scipy.stats import mannwhitneyu  # slow to import

  lower = np.sort(scores)[: (len(scores) + 1) // 2]
  if np.median(lower) <= np.median(sound):
    return False
  # With few scores the normal approximation is poor, yet `auto` would use it when there are ties.
  method = 'exact' if len(lower) * len(sound) <= EXACT else 'asymptotic'
  test = mannwhitneyu(lower, sound, alternative='greater', method=method)
  return bool(test.pvalue < RATE)


def shift_warning(scores: np.ndarray, calibration: Calibration) -> str:
  """A line that the model does not apply to photographs with these scaled scores, float [n].

  '' if nothing is unusual, or if they are fewer than LEAST.
  """
  known = calibration.held_out
  # Images of one group count as one image, so as many are compared as there are groups.
  count = calibration.num_groups
  chosen = np.linspace(0, len(known) - 1, count).round().astype(int)
  sound = scale(known[chosen], calibration)
  if len(scores) < LEAST or not is_shifted(scores, sound):
    return ''
  return (
    f'these {len(scores)} photographs as a whole are unlike those of training: their median score '
    f'is {np.median(scores):.2f}, that of sound ones {np.median(sound):.2f}. Is it another '
    'product, camera or light? Then train on such photographs; until then the verdicts mean '
    f'little (false warnings: at most {RATE:.1%} of sets with no more than half defective)'
  )


class RecentScores:
  """The last scores of a stream of photographs.

  Attributes:
    values: scaled scores, the last RECENT.
    warning: of `shift_warning`, by the last test; there is one every LEAST photographs.
  """

  def __init__(self, calibration: Calibration):
    self.values: deque[float] = deque(maxlen=RECENT)
    self.warning = ''
    self._calibration, self._count = calibration, 0

  def add(self, score: float) -> str:
    """Adds a score; returns the warning if there was none before."""
    self.values.append(score)
    self._count += 1
    if self._count % LEAST:  # each test takes time, and may warn by chance
      return ''
    before, self.warning = self.warning, shift_warning(np.array(self.values), self._calibration)
    return '' if before else self.warning
