"""Turns a config into the static description of its model; here the recipe decides which kind."""

import ml_collections

from ocrgan_jax.configs import default
from ocrgan_jax.core.checks import flat_fields, read, require, seed_bound
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.disturbance import Tolerance
from ocrgan_jax.data.framing import has_valid
from ocrgan_jax.data.settings import DataSettings
from ocrgan_jax.forging.cutpaste import Forgery
from ocrgan_jax.model.bands import Bands
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.networks.architecture import Architecture
from ocrgan_jax.optimization.losses import Loss
from ocrgan_jax.optimization.optimizer import Optimizer
from ocrgan_jax.optimization.run_length import RunLength
from ocrgan_jax.scoring.anomaly_score import HEADS, Score

Model = Bands | OCRGAN  # either is fitted or trained, and scores images


def build_model(config: ml_collections.ConfigDict) -> Model:
  """Checks a whole config and builds the static description of its model.

  Args:
    config: as in `configs/default.py`.

  Returns:
    The model, without arrays: `Bands` if heads score, else `OCRGAN`.

  Raises:
    InputError: if a field is unknown or out of bounds, or two fields contradict each other.
  """
  _refuse_unknown_fields(config)
  require('seed', config.seed, seed_bound)
  read(DataSettings, config.data)
  read(Tolerance, config.data.tolerate)
  length = read(RunLength, config.train)
  networks = read(Architecture, config.model)
  optimizer = read(Optimizer, config.train)
  loss, forgery = read(Loss, config.loss), read(Forgery, config.forgery)
  score = read(Score, config.score)
  if score.kind == HEADS:
    return Bands(image_size=config.image_size, score=score, has_valid=has_valid(config))
  if not (length.steps or length.epochs):
    raise InputError(
      'train.epochs is 0, so there are no networks to score with: set score.kind=heads, or set '
      'train.epochs above 0'
    )
  return OCRGAN(
    generator=networks.generator(),
    discriminator=networks.discriminator(),
    optimizer=optimizer,
    image_size=config.image_size,
    branches=networks.branches,
    bands=networks.kept_bands(),
    loss=loss,
    forgery=forgery,
    score=score,
    has_valid=has_valid(config),
  )


def _refuse_unknown_fields(config: ml_collections.ConfigDict) -> None:
  """Raises an InputError for a field that a config file added by a typing error."""
  known = flat_fields(default.get_config())
  for name in flat_fields(config):
    if name not in known:
      raise InputError(f'unknown config field {name}; configs/default.py lists all fields')
