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
  scores: np.ndarray, groups: np.ndarray, rule: Score, *, map_maximum: float
) -> Calibration:
  """Fits Eq. 14's scale and a threshold to the scores of held-out normal images.

  Args:
    scores: raw scores of normal images that were not trained on, float [images], at least one.
    groups: the part that each shows, int [images]. A part counts once, by its highest score.
    rule: how to set the threshold.
    map_maximum: highest value of their maps.

  Returns:
    The calibration, to be saved with the model.
  """
  _, part = np.unique(groups, return_inverse=True)
  highest = np.full(part.max() + 1, -np.inf, np.float32)
  np.maximum.at(highest, part, scores)
  calibration = Calibration(
    minimum=float(highest.min()),
    maximum=float(highest.max()),
    threshold=math.nan,
    num_images=len(scores),
    map_maximum=map_maximum,
    held_out=np.sort(highest),
    num_groups=len(highest),
  )
  return with_threshold(calibration, rule)


def with_threshold(calibration: Calibration, rule: Score) -> Calibration:
  """Sets the threshold of a calibration by a rule.

  For a false-alarm rate it is the score of a held-out part (conformal prediction): on average over
  held-out sets, (n + 1 - r) / (n + 1) of all sound parts score above the r-th of n ascending
  scores. If n is too small for the rate, it is the highest score; see `lowest_rate`.

  Args:
    calibration: with the held-out scores.
    rule: how to set the threshold.

  Returns:
    The calibration with the new threshold.
  """
  scores, count = calibration.held_out, calibration.num_groups
  if rule.threshold is not None:
    threshold = calibration.minimum + rule.threshold * calibration.width
  else:
    rank = math.ceil((1 - rule.false_alarms) * (count + 1) - 1e-9)
    # Calibrations of version 0.2 have several scores a part.
    place = math.ceil(min(max(rank, 1), count) * len(scores) / count) - 1
    threshold = scores[place]
  return calibration._replace(threshold=float(threshold))


def lowest_rate(count: int) -> float:
  """The lowest false-alarm rate that the scores of so many parts can promise."""
  return 1 / (count + 1)


def false_alarm_rates(calibration: Calibration) -> tuple[float, float]:
  """Predicts the range of false-alarm rates, given the number of held-out parts.

  The share of all sound parts above the r-th of n held-out scores is Beta(n + 1 - r, r)
  distributed. A threshold between two scores is treated as the lower one.

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
  count, wanted = calibration.num_groups, rule.false_alarms
  images = f'{calibration.num_images} {compared_with(rule)}'
  if count < calibration.num_images:
    images += f' of {count} parts'
  if rule.threshold is not None:
    source = 'as given'
  elif lowest_rate(count) <= wanted:
    source = f'for at most {wanted:.3g} false alarms'
  else:
    source = (
      f'for at most {lowest_rate(count):.2g} false alarms, the lowest rate that {count} parts can '
      f'promise ({wanted:.3g} takes {math.ceil(1 / wanted - 1e-9) - 1})'
    )
  low, high = false_alarm_rates(calibration)
  return (
    f'threshold: {calibration.limit:.3f}, {source}; expect {100 * low:.1f} to {100 * high:.1f} % '
    f'(95 % interval from {images})'
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
