"""Held-out normal images: the scale of the scores, and the validation of a checkpoint.

A density, if the score asks for one, is fitted to the training images here as well. No
test image has a part in any of it.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Wrapped as JitWrapped
from tqdm import tqdm

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.batches import evaluation_batches
from ocrgan_jax.data.images import Images, of_photographs, parts_of
from ocrgan_jax.density import gaussian
from ocrgan_jax.density.moments import Moments
from ocrgan_jax.density.moments import merge as merge_moments
from ocrgan_jax.model.forward import moments_step
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import maps_step, score_step
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score
from ocrgan_jax.scoring.anomaly_score import Reference
from ocrgan_jax.scoring.calibration import Calibration
from ocrgan_jax.scoring.calibration import calibrate as calibrate_scores
from ocrgan_jax.scoring.metrics import image_auroc

FOLDS = 5  # of the training images; each is judged by a density of the others


class Validation(NamedTuple):
  """What held-out images say about a state.

  Attributes:
    calibration: the scale of its scores, and the density if there is one.
    auroc: of the held-out images against their own forged copies. Without forging there
      is nothing to tell apart and it is 0.5 by definition, so that the last of equals is
      the best.
    density: channels of each density that was compared → its AUROC in cross-validation on
      the training images; the best was kept. Empty where there was nothing to compare, or
      too few images: then it is the first.
  """

  calibration: Calibration
  auroc: float
  density: dict[str, float]


def make_validation(
  model: OCRGAN,
  mesh: Mesh,
  held_out: Images,
  batch_size: int,
  images: Images | None = None,
  *,
  sets_threshold: bool = True,
) -> Callable[[State], Validation]:
  """Makes the function that validates a state on held-out normal images.

  Args:
    model: the static description.
    mesh: of the devices.
    held_out: normal images that are not trained on.
    batch_size: of the batches they are scored in.
    images: that are trained on; needed where the score asks for a density.
    sets_threshold: whether the threshold matters: if not, it is not worth the time that
      `calibrates_by_all` takes.

  Returns:
    The function.
  """
  programs = _compile(model, mesh)
  merge = jax.jit(merge_moments)
  fit = lambda moments, name: gaussian.fit(moments, model.density, name, model.statistics)
  batches = functools.partial(_batches, mesh=mesh, batch_size=batch_size)
  compares = len(model.density.candidates) > 1 and not model.sees_deviations
  compares = compares and model.validates_by_forgeries
  by_all = sets_threshold and images is not None and calibrates_by_all(model, images)
  folded = _batches_by_fold(images, mesh, batch_size, FOLDS if compares or by_all else 1)

  def calibrate(
    state: State,
    fitted: tuple[gaussian.Gaussians, ...] | None,
    of_others: Sequence[tuple[gaussian.Gaussians, ...]] = (),
  ) -> tuple[Calibration, float]:
    total = np.zeros((len(model.score.maps), *[model.image_size] * 2), np.float64)
    for batch, count in batches(held_out):
      maps = programs.maps(state, fitted, batch)
      total += np.asarray(maps)[:count].sum(0, dtype=np.float64)
    mean_maps = total / len(held_out)
    unit = np.stack([anomaly_score.map_unit(mean, model.score.map_units) for mean in mean_maps])
    reference = Reference(unit, fitted)

    normal, forged, map_maximum = [], [], 0.0
    for batch, count in batches(held_out):
      scores, maps = programs.score(state, reference, batch)
      normal.append(np.asarray(scores)[:count])
      map_maximum = max(map_maximum, float(np.asarray(maps)[:count].max()))
      if model.validates_by_forgeries:
        for number in range(model.forgery.copies):
          copies = programs.forge(state, np.uint32(number), batch)
          forged.append(np.asarray(programs.score(state, reference, copies)[0])[:count])
    scores = np.concatenate(normal)
    if not np.isfinite(np.concatenate([scores, *forged])).all():
      raise InputError(
        f'scores of held-out images are not finite at step {int(state.step)}: the weights have '
        'grown beyond measure; lower train.learning_rate, or set train.clip'
      )
    known = [of_photographs(held_out, scores)]
    for fold, batch, count in folded('calibrating') if of_others else ():
      found, maps = programs.score(state, Reference(unit, of_others[fold]), batch)
      known.append(np.asarray(found)[:count])
      map_maximum = max(map_maximum, float(np.asarray(maps)[:count].max()))
    calibration = calibrate_scores(
      np.concatenate(known),
      model.score,
      map_unit=unit,
      map_maximum=map_maximum,
      density=fitted,
    )
    if not forged:
      return calibration, 0.5
    labels = np.repeat([0, 1], [len(scores), model.forgery.copies * len(scores)])
    auroc = image_auroc(labels, np.concatenate([scores, *forged]))
    assert auroc is not None
    return calibration, auroc

  def fit_others(folds: list[Moments], name: str) -> list[tuple[gaussian.Gaussians, ...]]:
    """For each fold the density of all others."""
    return [fit(merge(*folds[:k], *folds[k + 1 :]), name) for k in range(len(folds))]

  def compare(state: State, folds: list[Moments]) -> dict[str, float]:
    """Channels → AUROC of training images against forged copies, each fold by the others."""
    one = np.ones(1, np.float32)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in model.density.candidates}
    for name in scores:
      of_others = fit_others(folds, name)
      for i, (fold, batch, count) in enumerate(folded('comparing')):
        reference = Reference(one, of_others[fold])
        for shown in (batch, programs.forge(state, np.uint32(i), batch)):
          found = programs.score(state, reference, shown)[0]
          scores[name].append(np.asarray(found)[:count])
    labels = np.concatenate([np.full(len(part), i % 2) for i, part in enumerate(scores[name])])
    return {n: image_auroc(labels, np.concatenate(parts)) or 0.5 for n, parts in scores.items()}

  def validate(state: State) -> Validation:
    if not model.score.needs_density:
      return Validation(*calibrate(state, None), {})
    best, aurocs = model.density.candidates[0], {}
    if model.sees_deviations:  # the lists of band statistics are fitted already
      best = '+'.join(model.density.lists(learned=True))
      if not best:
        return Validation(*calibrate(state, ()), {})
    add = functools.partial(programs.moments, state)
    folds = _fold_moments(add, folded('fitting'))
    if compares and len(folds) > 1:
      aurocs = compare(state, folds)
      best = max(aurocs, key=aurocs.__getitem__)
    fitted = fit(merge(*folds), best)
    return Validation(*calibrate(state, fitted, fit_others(folds, best) if by_all else ()), aurocs)

  return validate


def fit_before_training(
  model: OCRGAN, mesh: Mesh, state: State, images: Images, batch_size: int
) -> State:
  """Fits the density of band statistics that D is given the deviations from.

  Args:
    model: the static description, of a D that is given them.
    mesh: of the devices.
    state: before the first step.
    images: that are trained on.
    batch_size: of the batches they are read in.

  Returns:
    The state with its density.
  """
  step = functools.partial(moments_step, model=model, learned=False)
  add = functools.partial(sharding.jit_over_batch(step, mesh, num_replicated=2), state)
  (total,) = _fold_moments(add, _batches_by_fold(images, mesh, batch_size, 1)('fitting'))
  fitted = gaussian.fit(total, model.density, '+'.join(model.density.lists(learned=False)))
  fitted = gaussian.of_fixed_shape(fitted, model.density.context)
  return state.replace(density=jax.device_put(fitted, sharding.replicated(mesh)))


def calibrates_by_all(model: OCRGAN, images: Images) -> bool:
  """Whether the training images set the threshold, too, each scored by a density of others.

  So it is where nothing but the density knows them. (Cross-conformal prediction: Vovk,
  Cross-conformal predictors, 2015.) Tiles of one photograph are too much alike for that.

  Args:
    model: the static description.
    images: that are trained on.

  Returns:
    Whether.
  """
  return not model.trains and len(parts_of(images)) == len(images) >= FOLDS


def _batches_by_fold(
  images: Images | None, mesh: Mesh, batch_size: int, folds: int
) -> Callable[[str], Iterator[tuple[int, jax.Array, int]]]:
  """Makes what goes through the training images: fold, batch, and how many images count."""

  def batches(why: str) -> Iterator[tuple[int, jax.Array, int]]:
    assert images is not None
    share = -(-len(images) // (folds * mesh.size)) * mesh.size  # so that no fold is empty
    size = min(batch_size, share)
    # Like the held-out images, those of a fold are any: neighbours are often of one series.
    order = np.random.default_rng(0).permutation(len(images)) if folds > 1 else None
    found = _batches(images, mesh, size, order)
    bar = tqdm(found, why, -(-len(images) // size), leave=False)
    for i, (batch, count) in enumerate(bar):
      yield i % folds, batch, count

  return batches


def _fold_moments(
  moments_of: Callable[..., Moments], batches: Iterator[tuple[int, jax.Array, int]]
) -> list[Moments]:
  """The moments of each fold of the images."""
  folds: list[Moments] = []
  merge = jax.jit(merge_moments)
  for fold, batch, count in batches:
    moments = moments_of(np.int32(count), batch)
    if fold == len(folds):
      folds.append(moments)
    else:
      folds[fold] = merge(folds[fold], moments)
  return folds


def _batches(
  images: Images, mesh: Mesh, batch_size: int, order: np.ndarray | None = None
) -> Iterator[tuple[jax.Array, int]]:
  for host_batch, count in evaluation_batches(
    images,
    batch_size,
    order,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  ):
    yield sharding.put_batch(host_batch, mesh), count


class _Programs(NamedTuple):
  score: JitWrapped
  maps: JitWrapped
  forge: JitWrapped
  moments: JitWrapped


@functools.cache
def _compile(model: OCRGAN, mesh: Mesh) -> _Programs:
  jit = functools.partial(sharding.jit_over_batch, mesh=mesh)
  return _Programs(
    jit(functools.partial(_score_and_map, model=model), num_replicated=2),
    jit(functools.partial(maps_step, model=model), num_replicated=2),
    jit(functools.partial(forged_step, model=model), num_replicated=2, makes_batch=True),
    jit(functools.partial(moments_step, model=model, learned=True), num_replicated=2),
  )


def _score_and_map(
  state: State, reference: Reference, images: jax.Array, *, model: OCRGAN
) -> tuple[jax.Array, jax.Array]:
  outputs = score_step(state, reference, images, model=model)
  return outputs['score'], outputs['map']
