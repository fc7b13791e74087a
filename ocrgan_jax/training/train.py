"""Makes a model from photographs: a recipe either fits (`bands.py`) or trains (`networks.py`)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import ml_collections

from ocrgan_jax.configs import folder as folder_config
from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import user_path
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.bands import Bands
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import State
from ocrgan_jax.runs import run_folder
from ocrgan_jax.runs.ownership import LOCK, owned
from ocrgan_jax.runs.training_images import TrainingImages, load_training_images
from ocrgan_jax.training.bands import fit_run
from ocrgan_jax.training.networks import train_networks
from ocrgan_jax.training.resolving import resolve


def fit(folder: str | Path, workdir: str | Path, *, recipe: str = 'bands') -> Scorer:
  """Makes a model from photographs of sound products, as `ocrgan train --config=folder` does.

  Args:
    folder: the photographs, or a tree in MVTec AD's layout (`train/good`, `test/<defect>`).
    workdir: the run's folder. An interrupted training of networks there is resumed.
    recipe: 'bands', which trains nothing and takes about a minute on two cores, or another one of
      `configs/default.py`.

  Returns:
    The model. `score_files(paths)` returns a score and a decision for each photograph;
    `score(images)` maps uint8 [n, size, size, 3] to float32 [n].

  Raises:
    InputError: if the recipe is unknown, or the photographs or the folder cannot be used.
  """
  try:
    config = folder_config.get_config(recipe)
  except ValueError as error:
    raise InputError(str(error)) from None
  config.data_dir = str(folder)
  train(config, workdir)
  return load(workdir)


def train(config: ml_collections.ConfigDict, workdir: str | Path) -> State | None:
  """Fits or trains the model of a config, and saves it; resumes an interrupted training.

  Args:
    config: as in `configs/default.py`.
    workdir: the run's folder, for config, checkpoints and, of networks, metrics and TensorBoard
      events.

  Returns:
    The last state of the networks; None for a recipe that fits.

  Raises:
    InputError: if the config, the data or the folder cannot be used (nothing is written then),
      or if a loss is not finite.
    InUse: if another process has the folder.
  """
  mesh, config, workdir = sharding.make_mesh(), resolve(config), user_path(workdir)
  model = build_model(config)
  with owned_run(config, workdir) as data:
    if not isinstance(model, Bands):
      return train_networks(config, workdir, model, mesh, data)
    fit_run(config, workdir, model, mesh, data)
    return None


@contextlib.contextmanager
def owned_run(config: ml_collections.ConfigDict, workdir: Path) -> Iterator[TrainingImages]:
  """Takes the folder of a run, new or existing, and loads its normal images.

  Args:
    config: resolved.
    workdir: the run's folder.

  Yields:
    The images.

  Raises:
    InputError: if the data or the folder cannot be used; nothing is written then.
    InUse: if another process has the folder.
  """
  run_folder.check(workdir, config)
  with contextlib.ExitStack() as stack:
    sharding.in_first_process(lambda: stack.enter_context(owned(workdir / LOCK)))
    run_folder.check(workdir, config)  # another run may have started there in the meantime
    yield load_training_images(config, workdir)
