"""Sets the scale of the scores (Eq. 14) and the threshold from held-out normal images.

Users see only scaled scores: 0 is the lowest and 1 the highest of the held-out normal images. The
recipe `bands` holds out none: there, each image has the score by heads that left out its group.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from ocrgan_jax.scoring.anomaly_score import Score

CONFIDENCE = 0.95


class Calibration(NamedTuple):
  """The scale and the threshold of a model.

  Attributes:
    minimum: lowest raw score of the held-out normal images, 0 in Eq. 14.
    maximum: highest raw score of them, 1 in Eq. 14.
    threshold: raw score above which an image is anomalous.
    num_images: number of images whose scores set the threshold.
    map_maximum: highest value of the held-out images' anomaly maps.
    held_out: raw scores of the held-out images, ascending, float32 [num_images].
    num_groups: number of groups among those images (`data/grouping.py`).
  """

  minimum: float
  maximum: float
  threshold: float
  num_images: int
  map_maximum: float
  held_out: np.ndarray
  num_groups: int

  @property
  def width(self) -> float:
    """The width of the raw scores that Eq. 14 maps to 0…1; 1 if all held-out scores are equal."""
    return self.maximum - self.minimum or 1.0

  @property
  def limit(self) -> float:
    """The scaled score above which an image is anomalous."""
    return (self.threshold - self.minimum) / self.width


def fit_calibration(
  scores: np.ndarray, rule: Score, *, map_maximum: float, num_groups: int
) -> Calibration:
  """Fits Eq. 14's scale and a threshold to the scores of held-out normal images.

  Args:
    scores: raw scores of normal images that were not trained on, at least one.
    rule: how to set the threshold.
    map_maximum: highest value of their maps.
    num_groups: number of groups that the scores are from.

  Returns:
    The calibration, to be saved with the model.
  """
  calibration = Calibration(
    minimum=float(scores.min()),
    maximum=float(scores.max()),
    threshold=math.nan,
    num_images=len(scores),
    map_maximum=map_maximum,
    held_out=np.sort(scores).astype(np.float32),
    num_groups=num_groups,
  )
  return with_threshold(calibration, rule)


def with_threshold(calibration: Calibration, rule: Score) -> Calibration:
  """Sets the threshold of a calibration by a rule.

  For a target false-alarm rate the threshold is a held-out score (conformal prediction): on
  average over held-out sets, (n + 1 - r) / (n + 1) of all normal images score above the r-th of n
  ascending scores. If n is too small for the rate, it is the highest score.

  Args:
    calibration: with the held-out scores.
    rule: how to set the threshold.

  Returns:
    The calibration with the new threshold.
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


def false_alarm_rates(calibration: Calibration) -> tuple[float, float]:
  """Computes the range of false-alarm rates to expect, given the number of held-out images.

  The share of all normal images above the r-th of n held-out scores is Beta(n + 1 - r, r)
  distributed. A threshold between two scores is treated as the lower one. Images of one group say
  as much as one image, so n is the number of groups.

  Args:
    calibration: of the scores.

  Returns:
    The bounds of the central 95 %.
  """
  scores, count = calibration.held_out, calibration.num_groups
  over = count * float((scores > np.float32(calibration.threshold)).mean())
  below = count - over
  # Beta quantiles. scipy.stats has the same function, but is slow to import.
  if below <= 0:
    return float(betaincinv(count, 1, (1 - CONFIDENCE) / 2)), 1.0
  low, high = betaincinv(over + 1, below, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
  return float(low), float(high)


def compared_with(rule: Score) -> str:
  """The photographs whose scores set scale and threshold, in words for users."""
  return 'training photographs' if rule.heads_on else 'held-out sound photographs'


def describe_threshold(calibration: Calibration, rule: Score) -> str:
  """Describes the threshold in one line: its value, its source, the predicted false alarms."""
  count, images = calibration.num_groups, f'{calibration.num_images} {compared_with(rule)}'
  if count < calibration.num_images:
    images += f' in {count} groups'
  if rule.threshold is not None:
    source = 'as given'
  elif rule.false_alarms:
    source = f'for a false-alarm rate of {rule.false_alarms:.3g}'
    if 1 / (count + 1) > rule.false_alarms:
      source += f' ({count} {compared_with(rule)} are too few for it; their highest score is used)'
  else:
    source = f'the {rule.threshold_quantile:g} quantile of {images}'
  low, high = false_alarm_rates(calibration)
  return (
    f'threshold: {calibration.limit:.3f}, {source}; expect {100 * low:.1f} to {100 * high:.1f} % '
    f'false alarms (95 % interval from {images})'
  )


def scale(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
  """Scales scores by Eq. 14, with the minimum and maximum of held-out normal images.

  Args:
    scores: raw scores.
    calibration: from `fit_calibration`.

  Returns:
    Scaled scores: 0 to 1 over the held-out images, above 1 for more anomalous ones. If all
    held-out scores are equal, they are only shifted.
  """
  return (scores - calibration.minimum) / calibration.width


def map_limit(calibration: Calibration, rule: Score, limit: float) -> float:
  """Computes the value of the anomaly map from which a place is anomalous.

  If the score is the mean of the map's largest values, or the largest one, the limit is the
  threshold itself, so every image above the threshold has places above it. Eq. 13 does not use the
  map; its limit is the highest value in the maps of held-out normal images.

  Args:
    calibration: of the scores.
    rule: how images are scored.
    limit: scaled score above which an image is anomalous.

  Returns:
    The limit, in map units.
  """
  if not rule.is_on_map:
    return calibration.map_maximum
  return calibration.minimum + limit * calibration.width
