"""Fits the heads to normal images, and scores each of these images by a fit that left it out."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from ocrgan_jax.heads.maps import (
  SHARES,
  SIGNS,
  Heads,
  input_side,
  look_places,
  nearest_look,
  residual_maps,
  scores_of_maps,
  whiten,
)
from ocrgan_jax.heads.measurements import ENERGIES, Measurements, pool_mean
from ocrgan_jax.heads.regression import fit_regression
from ocrgan_jax.heads.tails import fit_tails, joint_score

FOLDS = 5  # the whitening of an image's residuals is from the other folds
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
  """Heads and what it was fitted to.

  Attributes:
    heads: the heads.
    left_out: the score of each training image by heads that left out its group, float32 [n].
  """

  heads: Heads
  left_out: np.ndarray


def fit_heads(measured: Measurements, groups: np.ndarray, names: tuple[str, ...]) -> Fitted:
  """Fits the heads.

  The regression and the memory leave out an image's group exactly; so does the unit of detail. The
  whitening of residuals leaves out its fold; that of the inputs and the scale of looks are of all
  images.

  Args:
    measured: of n normal images, at least 2, on the host.
    groups: int [n]; at least two groups.
    names: the heads that are on.

  Returns:
    The heads and the left-out scores.
  """
  statistics = np.asarray(measured.statistics, np.float32)
  mean = statistics.mean(0)
  heads = Heads(mean, *[None] * (len(Heads._fields) - 1))
  maps: dict[str, list[Any]] = {}
  if on_residuals := tuple(name for name in names if name in ('energy', 'statistics', 'whole')):
    heads, maps = _fit_residuals(heads, statistics, groups, on_residuals)
  for name in names:
    if name in SIGNS:
      side = np.asarray(measured.detail[..., SIGNS[name]], np.float32)
      unit, maps[name] = _fit_detail(side, groups)
      heads = heads._replace(**{name: unit})
  if 'looks' in names:
    heads, maps['looks'] = _fit_looks(heads, statistics, groups)
  parts = []
  for some in _batches(len(statistics)):
    valid = None if measured.valid is None else measured.valid[some]
    own = {name: [x[some] for x in maps[name]] for name in SHARES if name in maps}
    parts.append(scores_of_maps(own, valid))
  # Not by `jax.tree.map`, which would sort the heads by name.
  join = lambda parts: [np.concatenate([np.asarray(x) for x in part]) for part in parts]
  scores = {name: join(zip(*(part[name] for part in parts), strict=True)) for name in parts[0]}
  heads = heads._replace(tails=fit_tails(np.stack([x for own in scores.values() for x in own])))
  return Fitted(heads, np.asarray(joint_score(heads.tails, scores)))


def _fit_residuals(
  heads: Heads, statistics: np.ndarray, groups: np.ndarray, names: tuple[str, ...]
) -> tuple[Heads, dict[str, list[Any]]]:
  """Fits the regression and the heads that look at what it leaves; also their left-out maps."""
  deviations = statistics - heads.mean
  n, side = len(deviations), input_side(deviations.shape[1])
  inputs = np.asarray(pool_mean(deviations, side))
  fold = deal_folds(groups)
  whitening = _whitening(_covariances(inputs, np.zeros(n, int))[0] / n, n)
  inputs = np.asarray(whiten(whitening, inputs)).reshape(n, -1)
  regression = fit_regression(inputs, groups)
  apply = jax.jit(lambda matrix, x: jnp.einsum('ij,jhwc->ihwc', matrix, x, precision='highest'))
  rows = range(0, deviations.shape[1], 8)  # so that the product of all images is never whole
  rest = np.concatenate([apply(regression.left_out, deviations[:, r : r + 8]) for r in rows], 1)
  response = np.concatenate([apply(regression.gains, deviations[:, r : r + 8]) for r in rows], 1)
  heads = heads._replace(
    whiten_inputs=whitening, basis=regression.basis, response=np.asarray(response)
  )
  return fit_whitenings(heads, rest, fold, names)


def fit_whitenings(
  heads: Heads, rest: np.ndarray, fold: np.ndarray, names: tuple[str, ...]
) -> tuple[Heads, dict[str, list[Any]]]:
  """Fits the heads that look at what a regression leaves.

  Args:
    heads: its heads `names` are replaced, and no other head that looks at residuals may be on.
    rest: what the regression leaves of n normal images, float32 [n, p, p, CHANNELS].
    fold: int [n], from 0; at least two folds.
    names: of 'energy', 'statistics' and 'whole'.

  Returns:
    The heads, and head → its maps, float32 [n, side, side], each image whitened by other folds.
  """
  n, side = len(rest), input_side(rest.shape[1])
  channels: dict[str, Any] = {'energy': rest[..., :ENERGIES], 'statistics': rest, 'whole': None}
  if 'whole' in names:
    channels['whole'] = np.asarray(pool_mean(rest, side))
  sums = {name: _covariances(channels[name], fold) for name in names}
  sizes = np.bincount(fold)
  maps = {name: [np.zeros(channels[name].shape[:3], np.float32)] for name in names}
  maps_of = jax.jit(lambda part, x: {k: v[0] for k, v in residual_maps(part, x).items()})
  for k in range(len(sizes)):
    others: dict[str, Any] = {
      name: _whitening((sums[name].sum(0) - sums[name][k]) / (n - sizes[k]), n - sizes[k])
      for name in names
    }
    own = np.flatnonzero(fold == k)
    for some in np.split(own, range(BATCH, len(own), BATCH)):
      for name, values in maps_of(heads._replace(**others), rest[some]).items():
        maps[name][0][some] = values
  whitenings: dict[str, Any] = {name: _whitening(sums[name].sum(0) / n, n) for name in names}
  return heads._replace(**whitenings), maps


def _fit_detail(detail: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, list[Any]]:
  """The unit of one side of the fine detail, its smoothed mean; also the left-out maps."""

  def unit(mean: np.ndarray) -> np.ndarray:
    smooth = gaussian_filter(mean, (DETAIL_SMOOTHING, DETAIL_SMOOTHING, 0), mode='nearest')
    return np.maximum(smooth, LEAST_DETAIL * smooth.mean((0, 1))) + np.float32(FAINTEST)

  total, n = detail.sum(0, dtype=np.float64), len(detail)
  relative = np.empty_like(detail)
  for group in np.unique(groups):
    own = np.flatnonzero(groups == group)
    mean = (total - detail[own].sum(0, dtype=np.float64)) / (n - len(own))
    relative[own] = detail[own] / unit(mean.astype(np.float32))
  return unit((total / n).astype(np.float32)), list(np.moveaxis(relative, -1, 0))


def _fit_looks(heads: Heads, statistics: np.ndarray, groups: np.ndarray) -> tuple[Heads, list[Any]]:
  """Remembers some places of all images; also the left-out maps."""
  places = np.asarray(look_places(statistics))
  n, side, _, channels = places.shape
  rows = places.reshape(-1, channels)
  rng, each = np.random.default_rng(0), min(side * side, -(-PLACES // n))
  chosen = np.concatenate([i * side * side + rng.permutation(side * side)[:each] for i in range(n)])
  chosen = rng.permutation(chosen)[:PLACES]
  memory, owner = rows[chosen], groups[chosen // (side * side)]
  mean, scale = memory.mean(0), memory.std(0) + np.float32(1e-3)
  memory = (memory - mean) / scale
  nearest = jax.jit(nearest_look)
  found = []
  for some in _batches(n):
    allowed = owner != groups[some][:, None]
    allowed[~allowed.any(1)] = True  # all places are of this group: it knows itself
    found.append(np.asarray(nearest((places[some] - mean) / scale, memory, allowed)))
  heads = heads._replace(memory=memory, memory_mean=mean, memory_scale=scale)
  return heads, [np.concatenate(found)]


def deal_folds(groups: np.ndarray, folds: int = FOLDS) -> np.ndarray:
  """Deals whole groups to at most so many folds, always the same: int [n] → int [n], from 0."""
  names, place = np.unique(groups, return_inverse=True)
  fold = np.random.default_rng(0).permutation(len(names)) % min(folds, len(names))
  return fold[place]


def _batches(n: int) -> list[np.ndarray]:
  return np.split(np.arange(n), range(BATCH, n, BATCH))


def _covariances(x: np.ndarray, fold: np.ndarray) -> np.ndarray:
  """Sums of products by fold: [n, h, w, c] → float32 [folds, h, w, c, c]."""
  count = int(fold.max()) + 1
  total = np.zeros((count, *x.shape[1:], x.shape[-1]), np.float32)
  for k in range(count):
    own = x[fold == k]
    for row in range(x.shape[1]):
      columns = own[:, row].transpose(1, 2, 0)  # [w, c, n]
      total[k, row] = columns @ columns.swapaxes(1, 2)
  return total


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
