"""The normal images of a run: those to train on, and those held out."""

import sys
from pathlib import Path
from typing import NamedTuple

import ml_collections
import numpy as np

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.framing import Framing, framing_of, read_region
from ocrgan_jax.data.images import NormalImages, StreamedImages, hold_out, load_normal_images
from ocrgan_jax.data.inspection import print_warnings
from ocrgan_jax.data.region import find_region
from ocrgan_jax.runs import run_folder
from ocrgan_jax.runs.thumbnails import save_thumbnails

# Number and size of the photographs used to find a region of interest.
REGION_IMAGES, REGION_SIZE = 200, 256


class TrainingImages(NamedTuple):
  """The normal images of a run.

  Attributes:
    normal: images to train on, and those held out.
    digests: digests of the pixels of both.
    framing: how photographs became images.
    names: names of the photographs to train on.
    shared: digests that are also in the test set.
    photographs: all of them, as in the dataset.
  """

  normal: NormalImages
  digests: list[str]
  framing: Framing
  names: list[str]
  shared: list[str]
  photographs: Split


def load_training_images(config: ml_collections.ConfigDict, workdir: Path) -> TrainingImages:
  """Prepares the dataset of a run and loads its normal images.

  Args:
    config: the run's resolved config.
    workdir: the run's folder.

  Returns:
    The images; see `data.images.load_images`.

  Raises:
    InputError: if the dataset cannot be used, or has changed since the run started.
  """
  # On a shared disk the others reuse what the first prepared; else each prepares its own.
  with sharding.first_process_first('dataset'):
    dataset = prepare_dataset(config.data_dir, config.data)
  print_warnings(dataset.report)
  digests = dataset.train.digests
  chosen, held_out = hold_out(dataset.train.groups, config.data.validation_share, config.seed)
  run_folder.check_training_set(workdir, digests)
  framing = run_folder.load_framing(workdir, config)
  if config.data.region and framing.region is None:  # the run is new
    framing = framing_of(config, _choose_region(config, dataset.train, chosen))
  normal = load_normal_images(
    dataset.train,
    framing,
    chosen=chosen,
    held_out=held_out,
    memory_gib=config.data.memory_gib,
  )
  if framing.region is not None and sharding.is_first_process():
    share = (normal.held_out[np.arange(1)][..., 3] > 0).mean()
    print(f'data.region: {share:.1%} of the pixels count', file=sys.stderr)
  if len(set(digests)) == 1:
    raise InputError(
      f'all {len(digests)} training images are the same, so they do not tell what varies among '
      'sound products; give photographs of several parts'
    )
  shared = sorted(set(digests) & set(dataset.test.digests))
  names = [dataset.train.names[i] for i in chosen]
  return TrainingImages(normal, digests, framing, names, shared, dataset.train)


def write_run(workdir: Path, config: ml_collections.ConfigDict, data: TrainingImages) -> None:
  """Writes what a run's folder holds beside checkpoints, in the first process.

  Args:
    workdir: the run's folder, owned by this process.
    config: resolved.
    data: the run's images.
  """
  if sharding.is_first_process():
    run_folder.write_run_files(workdir, config, data.digests, data.shared, data.framing)
    if config.data.thumbnails:
      save_thumbnails(workdir, data.photographs)


def _choose_region(
  config: ml_collections.ConfigDict, train: Split, chosen: np.ndarray
) -> np.ndarray:
  if config.data.region != 'auto':
    return read_region(config.data.region)
  some = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), REGION_IMAGES)).astype(int)]
  whole = StreamedImages(train.records, some, Framing(REGION_SIZE))
  found = find_region(whole[np.arange(len(some))])
  # Never None: under this config the model expects the fourth channel.
  return np.ones((1, 1), bool) if found is None else found
