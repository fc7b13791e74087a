"""Fits the heads of a run and sets their threshold."""

import functools
import sys

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Wrapped
from tqdm import tqdm

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.images import NormalImages, tile_indices
from ocrgan_jax.heads.fitting import fit
from ocrgan_jax.heads.measurements import Measurements, measure
from ocrgan_jax.model.inputs import to_float, valid_pixels
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.scoring.calibration import Calibration, calibrate
from ocrgan_jax.training.device_batches import device_batches

MOST_IMAGES = 1024  # to fit to; the regression needs all of them at once


def fit_heads(model: OCRGAN, mesh: Mesh, normal: NormalImages, batch_size: int) -> Calibration:
  """Fits the heads to all normal images of a run; none are set aside.

  Each photograph is scored by heads that left out its group; these scores set scale and threshold
  (cross-conformal prediction, Vovk 2015).

  Args:
    model: the static description.
    mesh: of the devices.
    normal: the normal images.
    batch_size: number of images to measure at once.

  Returns:
    The calibration, with the heads.

  Raises:
    InputError: if a score is not finite.
  """
  parts, groups, chosen = [], [], []
  sides = ((normal.images, normal.groups), (normal.held_out, normal.held_out_groups))
  total = sum(len(images) for images, _ in sides)
  kept = _some_photographs(total, [tile_indices(images) for images, _ in sides])
  step = _measuring(mesh)
  with tqdm(None, 'measuring', sum(len(x) for x in kept), unit='image', leave=False) as bar:
    for (images, own_groups), indices in zip(sides, kept, strict=True):
      photograph = np.repeat(
        np.arange(len(own_groups)), [len(tiles) for tiles in tile_indices(images)]
      )
      groups.append(own_groups[photograph[indices]])
      chosen.append(photograph[indices])
      for batch, count in device_batches(images, mesh, batch_size, indices):
        found = step(batch)
        parts.append(jax.tree.map(lambda x, count=count: np.asarray(x)[:count], found))
        bar.update(count)
  measured = Measurements(
    *(None if x[0] is None else np.concatenate(x) for x in zip(*parts, strict=True))
  )
  all_groups = np.concatenate(groups)
  if len(np.unique(all_groups)) == 1:  # all images show one part, which was said before
    all_groups = np.arange(len(all_groups))
  fitted = fit(measured, all_groups, model.score.heads_on)
  if not np.isfinite(fitted.left_out).all():
    raise InputError('scores of the training images are not finite; the images cannot be used')
  # A photograph's score is the largest of its tiles.
  photographs = np.concatenate([chosen[0], chosen[1] + len(normal.groups)])
  _, number = np.unique(photographs, return_inverse=True)
  scores = np.full(number.max() + 1, -np.inf, np.float32)
  np.maximum.at(scores, number, fitted.left_out)
  return calibrate(
    scores,
    model.score,
    map_unit=np.ones((1, model.image_size, model.image_size), np.float32),
    map_maximum=float(scores.max()),
    num_groups=len(np.unique(all_groups)),
    detector=fitted.detector,
  )


def _some_photographs(total: int, tiles: list[list[np.ndarray]]) -> list[np.ndarray]:
  """The images to fit to: all, or those of so many random photographs that fit."""
  if total <= MOST_IMAGES:
    return [np.concatenate(part) for part in tiles]
  order = np.random.default_rng(0).permutation(sum(len(part) for part in tiles))
  sizes = np.array([len(images) for part in tiles for images in part])
  count = max(2, int((np.cumsum(sizes[order]) <= MOST_IMAGES).sum()))
  print(
    f'the heads are fitted to {count} of {len(sizes)} photographs, drawn at random, '
    f'{int(sizes[order[:count]].sum())} of {total} images',
    file=sys.stderr,
  )
  taken, first = np.isin(np.arange(len(sizes)), order[:count]), len(tiles[0])
  none = np.zeros(0, int)
  return [
    np.concatenate([none, *(x for x, take in zip(part, own, strict=True) if take)])
    for part, own in zip(tiles, (taken[:first], taken[first:]), strict=True)
  ]


@functools.cache
def _measuring(mesh: Mesh) -> Wrapped:
  def step(images: jax.Array) -> Measurements:
    return measure(to_float(images), valid_pixels(images))

  return sharding.jit_over_batch(step, mesh, num_replicated=0)
