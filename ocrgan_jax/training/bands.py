"""Fits the recipe `bands`: photographs → measurements → fit → threshold → save."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from ocrgan_jax.core import sharding
from ocrgan_jax.core.checks import read
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.disturbance import DisturbedImages, Tolerance
from ocrgan_jax.data.images import NormalImages, tile_indices
from ocrgan_jax.heads.fitting import fit_heads
from ocrgan_jax.heads.maps import Heads
from ocrgan_jax.heads.measurements import Measurements, measure
from ocrgan_jax.model.bands import Bands
from ocrgan_jax.model.device_batches import device_batches
from ocrgan_jax.model.inputs import to_float, valid_pixels
from ocrgan_jax.runs import checkpoint, run_folder
from ocrgan_jax.runs.training_images import TrainingImages, write_run
from ocrgan_jax.scoring.calibration import Calibration, describe_threshold, fit_calibration
from ocrgan_jax.training.plan import device_name

MOST_IMAGES = 1024  # to fit to; the regression needs all of them at once
BATCH = 32  # images to measure at once


class FittedBands(NamedTuple):
  """A model of the recipe `bands`.

  Attributes:
    heads: fitted to all normal images.
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
  batch_size = -(-config.train.batch_size // mesh.size) * mesh.size
  tolerance = read(Tolerance, config.data.tolerate)
  fitted = fit_bands(model, mesh, normal, tolerance, batch_size)
  with run_folder.emptied_on_failure(workdir):
    write_run(workdir, config, data)
    with checkpoint.open_checkpoints(workdir) as checkpoints:
      checkpoint.save(checkpoints, fitted.heads, fitted.calibration, config)
  if sharding.is_first_process():
    print(describe_threshold(fitted.calibration, model.score), file=sys.stderr)


def fit_bands(
  model: Bands, mesh: Mesh, normal: NormalImages, tolerance: Tolerance, batch_size: int = BATCH
) -> FittedBands:
  """Fits the heads to all normal images, or to a random part of more than MOST_IMAGES.

  Each photograph is scored by heads that never saw its group; these scores set scale and threshold
  (cross-conformal prediction, Vovk 2015). The heads are also fitted to a disturbed copy of each.

  Args:
    model: the static description.
    mesh: of the devices.
    normal: the normal images.
    tolerance: how copies are disturbed.
    batch_size: number of images to measure at once.

  Returns:
    The heads and their calibration.

  Raises:
    InputError: if a score is not finite.
  """
  measured, photograph, copies = _measure(mesh, normal, tolerance, batch_size)
  groups = np.concatenate([normal.groups, normal.held_out_groups])
  if len(np.unique(groups)) == 1:  # `hold_out` has warned that all show one part
    groups = np.arange(len(groups))
  fitted = fit_heads(measured, groups[photograph], model.score.heads_on, copies)
  if not np.isfinite(fitted.left_out).all():
    raise InputError('scores of the training images are not finite; the images cannot be used')
  calibration = fit_calibration(
    fitted.left_out,
    groups[photograph[: len(fitted.left_out)]],
    model.score,
    map_maximum=float(fitted.left_out.max()),
  )
  return FittedBands(jax.device_put(fitted.heads, sharding.replicated(mesh)), calibration)


def _measure(
  mesh: Mesh, normal: NormalImages, tolerance: Tolerance, batch_size: int
) -> tuple[Measurements, np.ndarray, int]:
  """Measures all images, or MOST_IMAGES of them, and then their copies.

  Returns:
    The measurements; the photograph of each, int [n]; and how many of them are of copies.
  """
  sides = (normal.images, normal.held_out)
  tiles = [own for images in sides for own in tile_indices(images)]
  kept = _some_photographs([len(own) for own in tiles])
  first = len(normal.groups)  # the photographs of the first side come first
  chosen = [
    np.concatenate([np.zeros(0, int), *(tiles[i] for i in own)])
    for own in (kept[kept < first], kept[kept >= first])
  ]
  count = sum(map(len, chosen))
  to_measure: list[tuple[Any, np.ndarray]] = [*zip(sides, chosen, strict=True)]
  if not tolerance.is_off:
    to_measure += [(DisturbedImages(images, tolerance), own) for images, own in to_measure]
  step = sharding.jit_over_batch(measure_step, mesh, num_replicated=0)
  parts, total = [], sum(len(own) for _, own in to_measure)
  with tqdm(None, 'measuring', total, unit='image', leave=False) as bar:
    for images, indices in to_measure:
      for batch, size in device_batches(images, mesh, batch_size, indices):
        found = jax.device_get(step(batch))
        parts.append(jax.tree.map(lambda x, size=size: x[:size], found))
        bar.update(size)
  measured = Measurements(
    *(None if x[0] is None else np.concatenate(x) for x in zip(*parts, strict=True))
  )
  photograph = np.repeat(kept, [len(tiles[i]) for i in kept])
  return measured, np.resize(photograph, total), total - count


def _some_photographs(sizes: list[int]) -> np.ndarray:
  """The photographs to fit to: all, or so many random ones that their images fit; ascending."""
  if sum(sizes) <= MOST_IMAGES:
    return np.arange(len(sizes))
  order = np.random.default_rng(0).permutation(len(sizes))
  count = max(2, int((np.cumsum(np.array(sizes)[order]) <= MOST_IMAGES).sum()))
  chosen = np.sort(order[:count])
  print(
    f'the heads are fitted to {count} of {len(sizes)} photographs, drawn at random, '
    f'{sum(sizes[i] for i in chosen)} of {sum(sizes)} images',
    file=sys.stderr,
  )
  return chosen


def measure_step(images: jax.Array) -> Measurements:
  """Measures uint8 images [batch, size, size, 3 or 4]."""
  return measure(to_float(images), valid_pixels(images))
