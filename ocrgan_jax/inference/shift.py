"""Tells when photographs as a whole are unlike those that a model was fitted to.

Another product, camera or light raises the scores of sound parts, too. Defects raise some scores
as well, so only the lower half of the scores is compared with the held-out sound ones: as long as
at least half of the parts are sound, the lower half of all scores is at most as high as a sample
of sound ones. A one-sided Mann-Whitney test on it therefore warns with a probability of at most
RATE, for any share of defects up to a half. That is for one look at photographs of different
parts; who looks again and again sees more false warnings.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from ocrgan_jax.inference.prediction import Prediction
from ocrgan_jax.scoring.calibration import Calibration, scale

LEAST = 20  # photographs from which on a set is judged
RATE = 1e-3  # of false warnings
RECENT = 200  # photographs of a stream that are judged as one set
EXACT = 5000  # pairs of scores up to which the test is exact


def is_shifted(scores: np.ndarray, held_out: np.ndarray) -> bool:
  """Whether at least the lower half of some scores is higher than sound parts explain.

  Args:
    scores: of the photographs, float [n], at least LEAST.
    held_out: of sound parts that were held out, float [m], on the same scale.

  Returns:
    True with a probability of at most RATE if at least half of the photographs are of sound parts
    like the held-out ones.
  """
  from scipy.stats import mannwhitneyu  # slow to import

  lower = np.sort(scores)[: (len(scores) + 1) // 2]
  if not len(held_out) or np.median(lower) <= np.median(held_out):
    return False
  # Few scores are far from normal; the test's own choice would take that for granted at ties.
  method = 'exact' if len(lower) * len(held_out) <= EXACT else 'asymptotic'
  test = mannwhitneyu(lower, held_out, alternative='greater', method=method)
  return bool(test.pvalue < RATE)


def shift_warning(scores: np.ndarray, calibration: Calibration) -> str:
  """Warns if a model does not apply to photographs, by their scores.

  Args:
    scores: scaled scores of the photographs, float [n].
    calibration: of the model.

  Returns:
    One line, or '': if nothing is unusual, or if they are fewer than LEAST.
  """
  # Images of one group say as much as one image, so as many are compared as there are groups.
  count = calibration.num_groups or len(calibration.held_out)
  chosen = np.linspace(0, len(calibration.held_out) - 1, min(count, len(calibration.held_out)))
  held_out = scale(calibration.held_out[chosen.round().astype(int)], calibration)
  if len(scores) < LEAST or not is_shifted(scores, held_out):
    return ''
  return (
    f'these {len(scores)} photographs as a whole are unlike those of training: their median score '
    f'is {np.median(scores):.2f}, that of held-out sound ones {np.median(held_out):.2f}. Is it '
    'another product, camera or light? Then train on such photographs; until then the verdicts '
    f'mean little (false warnings: at most {RATE:.1%} of sets with no more than half defective)'
  )


class RecentScores:
  """The last scores of a stream of photographs.

  Attributes:
    values: scaled scores, the last RECENT.
    warning: of `shift_warning`, by the last look; there is one every LEAST photographs.
  """

  def __init__(self, calibration: Calibration):
    """Takes the model's calibration."""
    self.values: deque[float] = deque(maxlen=RECENT)
    self.warning = ''
    self._calibration, self._count = calibration, 0

  def add(self, score: float) -> str:
    """Adds a score; returns the warning if there was none before."""
    self.values.append(score)
    self._count += 1
    if self._count % LEAST:  # each look takes time, and may warn by chance
      return ''
    before, self.warning = self.warning, shift_warning(np.array(self.values), self._calibration)
    return '' if before else self.warning


def warn_if_shifted(
  predictions: Iterable[Prediction], calibration: Calibration
) -> Iterator[Prediction]:
  """Passes predictions on; after the last one, warns on stderr if the model does not apply.

  Args:
    predictions: of one set of photographs.
    calibration: of the model.

  Yields:
    The predictions.
  """
  scores = []
  for prediction in predictions:
    if not prediction.error:
      scores.append(prediction.score)
    yield prediction
  if warning := shift_warning(np.array(scores), calibration):
    print(f'warning: {warning}', file=sys.stderr)
