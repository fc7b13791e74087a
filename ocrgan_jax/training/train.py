"""Trains a model, from config to last checkpoint."""

import sys
from pathlib import Path

import ml_collections

from ocrgan_jax.core import sharding
from ocrgan_jax.core.files import user_path
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import State
from ocrgan_jax.training.run import open_run, resolve


def train(config: ml_collections.ConfigDict, workdir: str | Path) -> State:
  """Trains a model, or resumes its training.

  Args:
    config: as in `configs/default.py`.
    workdir: the run's folder, for config, metrics, TensorBoard events and checkpoints.

  Returns:
    The last state.

  Raises:
    InputError: if the config, the data or the folder cannot be used (nothing is written then),
      or if a loss is not finite.
  """
  mesh, config = sharding.make_mesh(), resolve(config)
  model = build_model(config)
  with open_run(config, user_path(workdir), model, mesh) as run:
    if run.finished:
      print(f'nothing left to train: the run is at step {run.step}', file=sys.stderr)
      return run.state
    run.print_plan()
    if not model.trains:
      run.save_untrained()
      return run.state
    with run.logging():
      return run.train_to(run.state, run.num_steps)
