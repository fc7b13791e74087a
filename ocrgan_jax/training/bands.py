"""Fits the recipe `bands`: photographs → measurements → fit → threshold → save."""

import sys
from pathlib import Path
from typing import NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.images import NormalImages, tile_indices
from ocrgan_jax.heads.fitting import fit_heads
from ocrgan_jax.heads.maps import Heads
from ocrgan_jax.heads.measurements import Measurements, measure
from ocrgan_jax.model.bands import Bands
from ocrgan_jax.model.device_batches import device_batches
from ocrgan_jax.model.inputs import to_float, valid_pixels
from ocrgan_jax.runs import checkpoint, run_folder
from ocrgan_jax.runs.training_images import TrainingImages, write_run
from ocrgan_jax.scoring.calibration import Calibration, fit_calibration
from ocrgan_jax.training.plan import device_name, warn_of_few_parts

MOST_IMAGES = 1024  # to fit to; the regression needs all of them at once


class FittedBands(NamedTuple):
  """A model of the recipe `bands`.

  Attributes:
    heads: fitted to the normal images.
    calibration: of its scores.
  """

  heads: Heads
  calibration: Calibration


def fit_run(
  config: ml_collections.ConfigDict, workdir: Path, model: Bands, mesh: Mesh, data: TrainingImages
) -> None:
  """Fits a run and saves it. Nothing is left behind if it fails or is interrupted.

  Args:
    config: resolved.
    workdir: the run's folder, owned by this process.
    model: of the config.
    mesh: of the devices.
    data: the photographs.

  Raises:
    InputError: if the photographs cannot be used, or the disk is full.
  """
  if checkpoint.scan_checkpoints(workdir / 'checkpoints')[0]:
    print(f'nothing left to do: {workdir} holds the finished model', file=sys.stderr)
    return
  normal = data.normal
  groups = np.concatenate([normal.groups, normal.held_out_groups])
  if sharding.is_first_process():
    print(f'fitting {len(groups)} photographs on {device_name(mesh)}', file=sys.stderr)
    warn_of_few_parts(len(np.unique(groups)))
  fitted = fit_bands(model, mesh, normal, sharding.whole_batch(config.train.batch_size, mesh))
  with run_folder.undone_on_failure(workdir):
    write_run(workdir, config, data)
    with checkpoint.open_checkpoints(workdir) as checkpoints:
      checkpoint.save(checkpoints, fitted.heads, fitted.calibration, config)


def fit_bands(model: Bands, mesh: Mesh, normal: NormalImages, batch_size: int) -> FittedBands:
  """Fits the heads to all normal images, or to a random part of more than MOST_IMAGES.

  Each photograph is scored by heads that left out its group; these scores set scale and threshold
  (cross-conformal prediction, Vovk 2015).

  Args:
    model: the static description.
    mesh: of the devices.
    normal: the normal images.
    batch_size: number of images to measure at once.

  Returns:
    The heads and their calibration.

  Raises:
    InputError: if a score is not finite.
  """
  parts, groups, chosen = [], [], []
  sides = ((normal.images, normal.groups), (normal.held_out, normal.held_out_groups))
  total = sum(len(images) for images, _ in sides)
  kept = _some_photographs(total, [tile_indices(images) for images, _ in sides])
  step = sharding.jit_over_batch(measure_step, mesh, num_replicated=0)
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
  if len(np.unique(all_groups)) == 1:  # `hold_out` has warned that all images show one part
    all_groups = np.arange(len(all_groups))
  fitted = fit_heads(measured, all_groups, model.score.heads_on)
  if not np.isfinite(fitted.left_out).all():
    raise InputError('scores of the training images are not finite; the images cannot be used')
  # A photograph's score is the largest of its tiles.
  photographs = np.concatenate([chosen[0], chosen[1] + len(normal.groups)])
  _, number = np.unique(photographs, return_inverse=True)
  scores = np.full(number.max() + 1, -np.inf, np.float32)
  np.maximum.at(scores, number, fitted.left_out)
  calibration = fit_calibration(
    scores,
    model.score,
    map_maximum=float(scores.max()),
    num_groups=len(np.unique(all_groups)),
  )
  return FittedBands(jax.device_put(fitted.heads, sharding.replicated(mesh)), calibration)


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


def measure_step(images: jax.Array) -> Measurements:
  """Measures uint8 images [batch, size, size, 3 or 4]."""
  return measure(to_float(images), valid_pixels(images))
