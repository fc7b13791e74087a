"""Sets the scale of the scores and the threshold, and computes the validation AUROC.

All of it uses held-out normal images. If the score uses a density, it is fitted here to the
training images. Test images are never used.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Wrapped as JitWrapped
from tqdm import tqdm

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.groups import deal_folds
from ocrgan_jax.data.images import Images, NormalImages, reduce_tiles, tile_indices
from ocrgan_jax.density import gaussian
from ocrgan_jax.density.gaussian import Gaussians
from ocrgan_jax.density.moments import Moments
from ocrgan_jax.density.moments import merge as merge_moments
from ocrgan_jax.model.forward import moments_step
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import map_step, score_step
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score
from ocrgan_jax.scoring.anomaly_score import Reference
from ocrgan_jax.scoring.calibration import Calibration, calibrate
from ocrgan_jax.scoring.metrics import image_auroc
from ocrgan_jax.training.device_batches import device_batches
from ocrgan_jax.training.heads import fit_heads

FOLDS = 5  # of the training images; each is scored by a density fitted to the others


class Validation(NamedTuple):
  """The result of validating a state.

  Attributes:
    calibration: scale of the scores, threshold and, if used, density.
    auroc: of held-out images against their forged copies; 0.5 if there are none, so that the last
      checkpoint counts as the best.
  """

  calibration: Calibration
  auroc: float


@dataclasses.dataclass(frozen=True)
class Validator:
  """Validates states of one model on held-out normal images.

  Attributes:
    model: the static description.
    mesh: of the devices.
    normal: the run's normal images; those trained on are needed if the score uses a density.
    batch_size: number of images to score at once.
    sets_threshold: whether the threshold matters; if not, the extra fits for
      `uses_cross_conformal` are skipped.
  """

  model: OCRGAN
  mesh: Mesh
  normal: NormalImages
  batch_size: int
  sets_threshold: bool = True

  def __call__(self, state: State) -> Validation:
    """Fits density, scale and threshold of a state, and validates it.

    Raises:
      InputError: if a score is not finite.
    """
    if self.model.score.kind == anomaly_score.HEADS:
      return Validation(fit_heads(self.model, self.mesh, self.normal, self.batch_size), 0.5)
    fitted, fold_densities = self._fit_density(state)
    reference = Reference(self._map_unit(state, fitted), fitted)
    normal, forged, map_maximum = self._score_held_out(state, reference)
    if not np.isfinite([*normal, *forged]).all():
      raise InputError(
        f'scores of held-out images are not finite at step {int(state.step)}: the weights have '
        'diverged; lower train.learning_rate or set train.clip'
        if self.model.trains
        else 'scores of held-out images are not finite: these images cannot be used'
      )
    known = [reduce_tiles(self.normal.held_out, normal)]
    if fold_densities:
      scores, largest = self._score_folds(state, reference, fold_densities)
      known.append(scores)
      map_maximum = max(map_maximum, largest)
    calibration = calibrate(
      np.concatenate(known),
      self.model.score,
      map_unit=reference.map_unit,
      map_maximum=map_maximum,
      density=fitted,
      num_groups=self.normal.num_held_out_groups
      + bool(fold_densities) * len(np.unique(self.normal.groups)),
    )
    if not len(forged):
      return Validation(calibration, 0.5)
    labels = np.repeat([0, 1], [len(normal), len(forged)])
    auroc = image_auroc(labels, np.concatenate([normal, forged]))
    assert auroc is not None
    return Validation(calibration, auroc)

  def _fit_density(
    self, state: State
  ) -> tuple[tuple[Gaussians, ...] | None, list[tuple[Gaussians, ...]]]:
    """Fits a density to all training images and, for each fold, one to the other folds.

    The first is None if the score uses no density. The second is empty unless the training images
    also set the threshold.
    """
    lists = self.model.stages.fits
    if lists is None:
      return None, []
    if not lists:
      return (), []
    by_all = self.sets_threshold and uses_cross_conformal(self.model, self.normal.images)
    fit = lambda moments: gaussian.fit(moments, self.model.density, lists, self.model.statistics)
    add = functools.partial(_compile(self.model, self.mesh).moments, state)
    folds = _moments_by_fold(add, self._folds('fitting', FOLDS if by_all else 1))
    merge = jax.jit(merge_moments)
    others = [merge(*folds[:k], *folds[k + 1 :]) for k in range(len(folds)) if len(folds) > 1]
    return fit(merge(*folds)), [fit(moments) for moments in others]

  def _map_unit(self, state: State, fitted: tuple[Gaussians, ...] | None) -> np.ndarray:
    """Computes the map unit from the mean anomaly map of the held-out images."""
    total = np.zeros([self.model.image_size] * 2, np.float64)
    for batch, count in device_batches(self.normal.held_out, self.mesh, self.batch_size):
      maps = _compile(self.model, self.mesh).map(state, fitted, batch)
      total += np.asarray(maps)[:count].sum(0, dtype=np.float64)
    return anomaly_score.map_unit(total / len(self.normal.held_out))

  def _score_held_out(
    self, state: State, reference: Reference
  ) -> tuple[np.ndarray, np.ndarray, float]:
    """Scores held-out images and their forged copies; also returns the highest map value."""
    programs, model = _compile(self.model, self.mesh), self.model
    normal, forged, map_maximum = [], [], 0.0
    for batch, count in device_batches(self.normal.held_out, self.mesh, self.batch_size):
      scores, maps = programs.score(state, reference, batch)
      normal.append(np.asarray(scores)[:count])
      map_maximum = max(map_maximum, float(np.asarray(maps)[:count].max()))
      if model.stages.validates_on_forgeries:
        for number in range(model.forgery.copies):
          copies = programs.forge(state, np.uint32(number), batch)
          forged.append(np.asarray(programs.score(state, reference, copies)[0])[:count])
    return np.concatenate(normal), np.concatenate([np.zeros(0, np.float32), *forged]), map_maximum

  def _score_folds(
    self, state: State, reference: Reference, fold_densities: list[tuple[Gaussians, ...]]
  ) -> tuple[np.ndarray, float]:
    """Scores each training image by the density fitted to the other folds.

    Also returns the highest map value.
    """
    program, found, map_maximum = _compile(self.model, self.mesh).score, [], 0.0
    for fold, batch, count in self._folds('calibrating', FOLDS):
      scores, maps = program(state, reference._replace(density=fold_densities[fold]), batch)
      found.append(np.asarray(scores)[:count])
      map_maximum = max(map_maximum, float(np.asarray(maps)[:count].max()))
    return np.concatenate(found), map_maximum

  def _folds(self, why: str, folds: int) -> Iterator[tuple[int, jax.Array, int]]:
    normal = self.normal
    return _batches_by_fold(normal.images, normal.groups, self.mesh, self.batch_size, folds, why)


def fit_before_training(
  model: OCRGAN, mesh: Mesh, state: State, images: Images, batch_size: int
) -> State:
  """Fits the density of band statistics from which D takes the deviations.

  Args:
    model: the static description, with a D that takes deviations.
    mesh: of the devices.
    state: before the first step.
    images: the training images.
    batch_size: number of images to read at once.

  Returns:
    The state with its density.
  """
  step = functools.partial(moments_step, model=model, learned=False)
  add = functools.partial(sharding.jit_over_batch(step, mesh, num_replicated=2), state)
  (total,) = _moments_by_fold(
    add, _batches_by_fold(images, np.arange(len(images)), mesh, batch_size, 1, 'fitting')
  )
  fitted = gaussian.fit(total, model.density, model.stages.fits_before_training)
  fitted = gaussian.pad_components(fitted, model.density.context)
  return state.replace(density=jax.device_put(fitted, sharding.replicated(mesh)))


def uses_cross_conformal(model: OCRGAN, images: Images) -> bool:
  """Whether training images also set the threshold, scored by densities fitted to other folds.

  This is valid if only the density was fitted to them (Vovk, Cross-conformal predictors, 2015),
  and not for tiles, because those of one photograph are too similar.

  Args:
    model: the static description.
    images: the training images.

  Returns:
    Whether to do so.
  """
  if model.score.kind == anomaly_score.HEADS:
    return True
  return not model.trains and len(tile_indices(images)) == len(images) >= FOLDS


def _batches_by_fold(
  images: Images, groups: np.ndarray, mesh: Mesh, batch_size: int, folds: int, why: str
) -> Iterator[tuple[int, jax.Array, int]]:
  """Yields batches of the training images: fold, batch, number of images that count."""
  share = -(-len(images) // (folds * mesh.size)) * mesh.size  # so that no fold is empty
  size = min(batch_size, share)
  # Folds are random like the held-out images: neighbours are often of one series.
  order, fold = np.arange(len(images)), np.zeros(len(images), int)
  if folds > 1:
    order, fold = deal_folds(groups, folds, size)
  with tqdm(None, why, len(images), leave=False) as bar:
    for k in range(fold.max() + 1):
      for batch, count in device_batches(images, mesh, size, order[fold == k]):
        yield k, batch, count
        bar.update(count)


def _moments_by_fold(
  batch_moments: Callable[..., Moments], batches: Iterator[tuple[int, jax.Array, int]]
) -> list[Moments]:
  folds: list[Moments] = []
  merge = jax.jit(merge_moments)
  for fold, batch, count in batches:
    moments = batch_moments(np.int32(count), batch)
    if fold == len(folds):
      folds.append(moments)
    else:
      folds[fold] = merge(folds[fold], moments)
  return folds


class _Programs(NamedTuple):
  score: JitWrapped
  map: JitWrapped
  forge: JitWrapped
  moments: JitWrapped


@functools.cache
def _compile(model: OCRGAN, mesh: Mesh) -> _Programs:
  jit = functools.partial(sharding.jit_over_batch, mesh=mesh)
  return _Programs(
    jit(functools.partial(_score_and_map, model=model), num_replicated=2),
    jit(functools.partial(map_step, model=model), num_replicated=2),
    jit(functools.partial(forged_step, model=model), num_replicated=2, makes_batch=True),
    jit(functools.partial(moments_step, model=model, learned=True), num_replicated=2),
  )


def _score_and_map(
  state: State, reference: Reference, images: jax.Array, *, model: OCRGAN
) -> tuple[jax.Array, jax.Array]:
  outputs = score_step(state, reference, images, model=model)
  return outputs['score'], outputs['map']
