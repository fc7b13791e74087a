"""Fits the heads to normal images, and scores each image by heads that never saw its part.

The heads are fitted once to all images, and anew to the others of each fold: whole groups are left
out, with everything that is learned from them. What the folds say of the images that they left out
is what the heads will say of new parts, so it sets the tails and the threshold.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.ndimage import gaussian_filter

from ocrgan_jax.heads.maps import (
  SIGNS,
  Heads,
  head_maps,
  input_side,
  look_places,
  scores_of_maps,
  whiten,
)
from ocrgan_jax.heads.measurements import ENERGIES, Measurements, pool_mean
from ocrgan_jax.heads.regression import COMPONENTS, fit_regression
from ocrgan_jax.heads.tails import Tails, fit_tails, joint_score

FOLDS = 10  # more if there are few groups: a part that is left out is then missed by few others
MOST_FOLDS = 30
SMOOTHING = 0.5  # of covariances over positions, in positions of 32 a side
SHRINKAGE = 0.02  # of each covariance towards its mean variance; more for few images
DETAIL_SMOOTHING = 1.5  # of the usual detail, in cells
LEAST_DETAIL = 0.25  # the unit of detail is at least this share of its mean, and
FAINTEST = 1e-4  # this, for images in [-1, 1]
# Added to each variance, as a share of its mean over all positions. Without it, a grain of noise
# would be a defect where normal images never change, as on an overexposed background.
VARIANCE_FLOOR = 0.001
PLACES = 2048  # in the memory of looks
BATCH = 32  # images at a time


class Fitted(NamedTuple):
  """Heads, and how they score images that they were not fitted to.

  Attributes:
    heads: the heads.
    left_out: the score of each image by heads that never saw its group, float32 [n].
  """

  heads: Heads
  left_out: np.ndarray


def fit_heads(
  measured: Measurements, groups: np.ndarray, names: tuple[str, ...], copies: int = 0
) -> Fitted:
  """Fits the heads, and scores each image by heads that were fitted without its group.

  Args:
    measured: of n normal images, at least 2, on the host.
    groups: int [n]; at least two groups.
    names: the heads that are on.
    copies: how many of the n images, the last ones, are disturbed copies of others. They have the
      groups of these, and are not scored.

  Returns:
    The heads, and the left-out scores of all but the copies. Their tails are from other folds.
  """
  fold, originals = deal_folds(groups), len(groups) - copies
  count = min(COMPONENTS, len(groups))  # the same in each fold, so that all share one program
  scores: Scores = {}
  for k in range(fold.max() + 1):
    own, others = np.flatnonzero(fold[:originals] == k), np.flatnonzero(fold != k)
    found = _score(_fit_once(measured, others, groups, names, count), measured, own)
    for name, parts in found.items():
      every = scores.setdefault(name, [np.zeros(originals, np.float32) for _ in parts])
      for column, part in zip(every, parts, strict=True):
        column[own] = part
  heads = _fit_once(measured, np.arange(len(groups)), groups, names, count)
  return Fitted(heads._replace(tails=_tails(scores)), _join_left_out(scores, fold[:originals]))


Scores = dict[str, list[np.ndarray]]  # head → each of its scores, float32 [images]


def _join_left_out(scores: Scores, fold: np.ndarray) -> np.ndarray:
  """The joint score of each image, by the tails of the other folds: float32 [n]."""
  joined = np.zeros(len(fold), np.float32)
  part = lambda chosen: {name: [x[chosen] for x in own] for name, own in scores.items()}
  for k in range(fold.max() + 1):
    joined[fold == k] = joint_score(_tails(part(fold != k)), part(fold == k))
  return joined


def _tails(scores: Scores) -> Tails:
  return fit_tails(np.stack([x for own in scores.values() for x in own]))


def _score(heads: Heads, measured: Measurements, chosen: np.ndarray) -> Scores:
  """Scores some of the images, in batches of one size."""
  parts = []
  for start in range(0, len(chosen), BATCH):
    padded = np.resize(chosen[start : start + BATCH], BATCH)
    some = Measurements(*(None if x is None else x[padded] for x in measured))
    parts.append(jax.device_get(_scores_by(heads, some)))
  join = lambda name, i: np.concatenate([part[name][i] for part in parts])[: len(chosen)]
  # Not by `jax.tree.map`, which would sort the heads by name.
  return {name: [join(name, i) for i in range(len(own))] for name, own in parts[0].items()}


@jax.jit
def _scores_by(heads: Heads, measured: Measurements) -> dict[str, list[jax.Array]]:
  return scores_of_maps(head_maps(heads, measured), measured.valid)


def _fit_once(
  measured: Measurements,
  chosen: np.ndarray,
  groups: np.ndarray,
  names: tuple[str, ...],
  count: int,
) -> Heads:
  """Fits heads without tails to some of the images.

  Args:
    measured: of n images.
    chosen: the numbers of the images to fit to, int [m].
    groups: of all images, int [n].
    names: the heads that are on.
    count: number of the regression's components; those that m images do not have are 0.
  """
  statistics = measured.statistics
  parts: dict[str, Any] = {'mean': statistics[chosen].mean(0)}
  if on_residuals := tuple(name for name in names if name in ('energy', 'statistics', 'whole')):
    parts |= _fit_residuals(statistics, parts['mean'], chosen, groups, on_residuals, count)
  for name in names:
    if name in SIGNS:
      parts[name] = _unit_of_detail(measured.detail[chosen][..., SIGNS[name]])
  if 'looks' in names:
    parts |= _remember_looks(statistics, chosen)
  return Heads(**{**dict.fromkeys(Heads._fields), **parts})


def _fit_residuals(
  statistics: np.ndarray,
  mean: np.ndarray,
  chosen: np.ndarray,
  groups: np.ndarray,
  names: tuple[str, ...],
  count: int,
) -> dict[str, np.ndarray]:
  """Fits the regression, and the whitening of what it leaves of images whose group it left out."""
  positions, n = statistics.shape[1], len(chosen)
  side = input_side(positions)
  pooled = np.concatenate(
    [
      np.asarray(pool_mean(statistics[chosen[i : i + BATCH]] - mean, side))
      for i in range(0, n, BATCH)
    ]
  )
  whitening = _whitening(_covariances(pooled), n)
  inputs = np.asarray(whiten(whitening, pooled)).reshape(n, -1)
  regression = fit_regression(inputs, groups[chosen], count)
  response = np.empty((count, *mean.shape), np.float32)
  covariance = np.empty((*mean.shape, mean.shape[-1]), np.float32)
  rest_pooled = np.empty((n, side, side, mean.shape[-1]), np.float32)
  step = positions // side  # rows at a time, so that what is left of all images is never whole
  for number in range(side):
    rows = slice(number * step, (number + 1) * step)
    deviations = statistics[chosen, rows] - mean[rows]
    flat = deviations.reshape(n, -1)
    response[:, rows] = (regression.gains @ flat).reshape(count, *deviations.shape[1:])
    rest = (regression.left_out @ flat).reshape(deviations.shape)
    covariance[rows] = _covariances(rest)
    rest_pooled[:, number] = rest.reshape(n, step, side, step, -1).mean((1, 3))
  found = {'whiten_inputs': whitening, 'basis': regression.basis, 'response': response}
  sums = {
    'energy': covariance[..., :ENERGIES, :ENERGIES],
    'statistics': covariance,
    'whole': _covariances(rest_pooled),
  }
  return found | {name: _whitening(sums[name], n) for name in names}


def _unit_of_detail(detail: np.ndarray) -> np.ndarray:
  """The unit of one side of the fine detail, its smoothed mean: [n, q, q, k] → [q, q, k]."""
  mean = detail.mean(0, dtype=np.float64).astype(np.float32)
  smooth = gaussian_filter(mean, (DETAIL_SMOOTHING, DETAIL_SMOOTHING, 0), mode='nearest')
  return np.maximum(smooth, LEAST_DETAIL * smooth.mean((0, 1))) + np.float32(FAINTEST)


def _remember_looks(statistics: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
  """Remembers some places of the chosen images, as many of each."""
  side = look_places(statistics[:1]).shape[1]
  rng, each = np.random.default_rng(0), -(-PLACES // len(chosen))
  rows = []
  for start in range(0, len(chosen), BATCH):
    places = np.asarray(look_places(statistics[chosen[start : start + BATCH]]))
    rows += [
      own[rng.permutation(side * side)[:each]]
      for own in places.reshape(len(places), side * side, -1)
    ]
  found = np.concatenate(rows)
  memory = np.resize(found[rng.permutation(len(found))], (PLACES, found.shape[1]))
  mean, scale = memory.mean(0), memory.std(0) + np.float32(1e-3)
  return {'memory': (memory - mean) / scale, 'memory_mean': mean, 'memory_scale': scale}


def deal_folds(groups: np.ndarray) -> np.ndarray:
  """Deals whole groups to folds, always the same: int [n] → int [n], from 0."""
  names, place = np.unique(groups, return_inverse=True)
  folds = len(names) if len(names) <= MOST_FOLDS else FOLDS
  fold = np.random.default_rng(0).permutation(len(names)) % folds
  return fold[place]


def _covariances(x: np.ndarray) -> np.ndarray:
  """Covariances around 0, by position: [n, h, w, c] → float32 [h, w, c, c]."""
  columns = x.transpose(1, 2, 3, 0)  # [h, w, c, n]
  return np.stack([row @ row.swapaxes(1, 2) for row in columns]) / np.float32(len(x))


def _whitening(covariance: np.ndarray, count: int) -> np.ndarray:
  """Whitening matrices of covariances [h, w, c, c] that `count` images gave."""
  sigma = SMOOTHING * covariance.shape[0] / 32
  covariance = gaussian_filter(covariance.astype(np.float64), (sigma, sigma, 0, 0), mode='nearest')
  return whitening_of(covariance, max(SHRINKAGE, 1 / (count + 1))).astype(np.float32)


def whitening_of(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
  """Inverts covariances, kept away from singular ones.

  Args:
    covariance: C, float64 [h, w, c, c], one for each position.
    shrinkage: s of (1 - s) C + s v I, where v is the mean variance of C.

  Returns:
    W with W C W' = I, float64 [h, w, c, c], where C is the shrunk covariance plus VARIANCE_FLOOR.
  """
  width = covariance.shape[-1]
  variance = np.trace(covariance, axis1=-2, axis2=-1)[..., None, None] / width
  least = np.finfo(np.float32).eps
  covariance = (1 - shrinkage) * covariance + (shrinkage * variance + least) * np.eye(width)
  covariance += VARIANCE_FLOOR * np.diag(np.einsum('hwii->hwi', covariance).mean((0, 1)))
  return np.linalg.inv(np.linalg.cholesky(covariance))
