"""What held-out normal images say about scores: their scale, Eq. 14, and the threshold.

People see scaled scores alone: 0 is the least and 1 the highest of held-out normal images.
Where nothing is trained, all images of a run are held out in turn.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from ocrgan_jax.density.gaussian import Gaussians
from ocrgan_jax.scoring.anomaly_score import Reference, Score

CONFIDENCE = 0.95


class Calibration(NamedTuple):
  """What held-out normal images say about the scale of the scores.

  Attributes:
    minimum: the least of their scores, 0 in Eq. 14.
    maximum: the largest of them, 1 in Eq. 14.
    threshold: the raw score above which an image is called anomalous.
    num_images: how many images were held out, once or in turn.
    map_unit: float32 [1, size, size], what stands for 1 in the anomaly map.
    map_maximum: the largest value of their maps, in these units.
    density: of the training images, see `scoring.Reference`.
    held_out: their raw scores in ascending order, float32 [num_images]; empty of a run of
      an earlier version.
  """

  minimum: float
  maximum: float
  threshold: float
  num_images: int
  map_unit: np.ndarray
  map_maximum: float
  density: tuple[Gaussians, ...] | None = None
  held_out: np.ndarray = np.zeros(0, np.float32)

  @property
  def reference(self) -> Reference:
    """What images are compared with."""
    return Reference(self.map_unit, self.density)

  @property
  def width(self) -> float:
    """The range of scores that Eq. 14 maps to 0…1; 1 if all held-out scores were equal."""
    return self.maximum - self.minimum or 1.0

  @property
  def limit(self) -> float:
    """The scaled score above which an image is called anomalous."""
    return (self.threshold - self.minimum) / self.width


def calibrate(
  scores: np.ndarray,
  rule: Score,
  *,
  map_unit: np.ndarray,
  map_maximum: float,
  density: tuple[Gaussians, ...] | None = None,
) -> Calibration:
  """Fits Eq. 14's scale and a threshold to the scores of held-out normal images.

  Args:
    scores: raw scores of normal images that were not trained on, at least one.
    rule: how the threshold is set.
    map_unit: from `anomaly_score.map_unit`.
    map_maximum: the largest value of their maps.
    density: that the maps were made with.

  Returns:
    The calibration, to be saved with the model.
  """
  calibration = Calibration(
    minimum=float(scores.min()),
    maximum=float(scores.max()),
    threshold=math.nan,
    num_images=len(scores),
    map_unit=map_unit,
    map_maximum=map_maximum,
    density=density,
    held_out=np.sort(scores).astype(np.float32),
  )
  return with_threshold(calibration, rule)


def with_threshold(calibration: Calibration, rule: Score) -> Calibration:
  """The same with the threshold that a rule asks for.

  With a rate of false alarms it is a held-out score: over the r-th of n scores in
  ascending order lie (n + 1 - r) / (n + 1) of all normal images, on average over held-out sets
  (conformal prediction). If n is too small for the rate, it is the highest.

  Args:
    calibration: with the held-out scores.
    rule: of the score.

  Returns:
    The calibration.
  """
  scores = calibration.held_out
  if rule.threshold is not None:
    threshold = calibration.minimum + rule.threshold * calibration.width
  elif rule.false_alarms:
    rank = math.ceil((1 - rule.false_alarms) * (len(scores) + 1) - 1e-9)
    threshold = scores[min(max(rank, 1), len(scores)) - 1]
  else:
    threshold = np.quantile(scores, rule.threshold_quantile)
  return calibration._replace(threshold=float(threshold))


def false_alarm_rates(calibration: Calibration) -> tuple[float, float] | None:
  """Between which rates false alarms are to be expected, given so few held-out images.

  The share of all normal images over the r-th of n held-out scores is Beta(n + 1 - r, r)
  distributed. For a threshold between two scores it is taken for the lower one.

  Args:
    calibration: of the scores.

  Returns:
    The bounds of the central 95 %; None if the held-out scores are not known.
  """
  scores = calibration.held_out
  if not len(scores):
    return None
  over = int((scores > np.float32(calibration.threshold)).sum())
  below = len(scores) - over
  # Quantiles of Beta; those of scipy.stats are the same, and slow to import.
  if not below:
    return float(betaincinv(len(scores), 1, (1 - CONFIDENCE) / 2)), 1.0
  low, high = betaincinv(over + 1, below, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
  return float(low), float(high)


def describe_threshold(calibration: Calibration, rule: Score) -> str:
  """One line on the threshold: its scaled score, where it comes from, what to expect of it."""
  count = calibration.num_images
  if rule.threshold is not None:
    source = 'as given'
  elif rule.false_alarms:
    source = f'for {rule.false_alarms:.3g} false alarms'
    if 1 / (count + 1) > rule.false_alarms:
      source += f', of which {count} held-out images are too few to tell: the highest of them'
  else:
    source = f'the quantile {rule.threshold_quantile:g} of {count} held-out normal images'
  text = f'threshold: {calibration.limit:.3f}, {source}'
  rates = false_alarm_rates(calibration)
  if rates:
    text += (
      f'; to expect: {100 * rates[0]:.1f} to {100 * rates[1]:.1f} % false alarms (95 %, '
      f'by {count} held-out images)'
    )
  return text


def scale(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
  """Eq. 14 with the minimum and maximum of held-out normal images.

  Args:
    scores: raw scores.
    calibration: from `calibrate`.

  Returns:
    Scores that are 0 to 1 over the held-out images; anomalous ones exceed 1.
    If all held-out scores were equal, the scale is of unit width.
  """
  return (scores - calibration.minimum) / calibration.width


def map_limit(calibration: Calibration, rule: Score, limit: float) -> float:
  """The value of the anomaly map from which a place is anomalous.

  If the score is the mean of the map's largest values, this is the threshold itself: an image
  over the threshold has places over it. Eq. 13 does not look at the map; its limit is the
  highest value that held-out normal images reach.

  Args:
    calibration: of the scores.
    rule: of the score.
    limit: scaled score above which an image is anomalous.

  Returns:
    A value of the map.
  """
  if rule.kind != 'map':
    return calibration.map_maximum
  return calibration.minimum + limit * calibration.width
