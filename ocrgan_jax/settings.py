"""The one place where a config becomes the objects that the code works with."""

import jax.numpy as jnp
import ml_collections

from ocrgan_jax.errors import InputError
from ocrgan_jax.losses import ADVERSARIAL_FORMS, Loss
from ocrgan_jax.networks import Discriminator, Generator
from ocrgan_jax.scoring import CONTENT_DISTANCES, KINDS, MAP_UNITS, Score
from ocrgan_jax.state import OCRGAN, Forgery, adam

SMALLEST_IMAGE = 32
GENERATOR_INPUTS = ('normal', 'forged')
DTYPES = ('float32', 'bfloat16')


def build_model(config: ml_collections.ConfigDict) -> OCRGAN:
  """Checks a config and builds the static description of its model.

  Args:
    config: as in `configs/default.py`.

  Returns:
    The model; no arrays are made.

  Raises:
    InputError: naming the field that cannot be, and what it can be.
  """
  _check(config)
  model, train, loss, score = config.model, config.train, config.loss, config.score
  bands = _parse_bands(model.bands, model.branches)
  return OCRGAN(
    generator=Generator(
      model.width, channel_selection=model.channel_selection, dtype=jnp.dtype(model.dtype)
    ),
    discriminator=Discriminator(model.discriminator_width, dtype=jnp.dtype(model.dtype)),
    optimizer=adam(
      train.learning_rate,
      beta1=train.beta1,
      beta2=train.beta2,
      weight_decay=train.weight_decay,
    ),
    image_size=config.image_size,
    branches=model.branches,
    bands=bands,
    generator_input=train.generator_input,
    loss=Loss(**loss),
    forgery=Forgery(**config.forgery),
    score=Score(**score),
  )


def _check(config: ml_collections.ConfigDict) -> None:
  size = config.image_size
  if size < SMALLEST_IMAGE or size & (size - 1):
    raise InputError(
      f'image_size is {size}; it must be a power of two from {SMALLEST_IMAGE}: 32, 64, 128, …'
    )
  model, train, loss = config.model, config.train, config.loss
  for name, value, least in (
    ('model.width', model.width, 1),
    ('model.discriminator_width', model.discriminator_width, 1),
    ('model.branches', model.branches, 1),
    ('seed', config.seed, 0),
    ('data.split_seed', config.data.split_seed, 0),
    ('data.workers', config.data.workers, 0),
    ('data.memory_gib', config.data.memory_gib, 0),
    ('data.max_megapixels', config.data.max_megapixels, 0),
    ('train.epochs', train.epochs, 1),
    ('train.batch_size', train.batch_size, 1),
    ('train.checkpoint_every', train.checkpoint_every, 1),
    ('train.log_every', train.log_every, 1),
    ('train.learning_rate', train.learning_rate, 0),
    ('train.weight_decay', train.weight_decay, 0),
    ('loss.content', loss.content, 0),
    ('loss.adversarial', loss.adversarial, 0),
    ('loss.latent', loss.latent, 0),
    ('loss.discriminator_latent', loss.discriminator_latent, 0),
    ('score.map_sigma', config.score.map_sigma, 0),
    ('score.map_top', config.score.map_top, 1),
  ):
    if value < least:
      raise InputError(f'{name} is {value}; it must be at least {least}')
  for name, seed in (('seed', config.seed), ('data.split_seed', config.data.split_seed)):
    if seed >= 2**31:
      raise InputError(f'{name} is {seed}; it must be under 2**31')
  if loss.content == loss.adversarial == loss.latent == 0:
    raise InputError('loss.content, loss.adversarial and loss.latent are all 0: G has no loss')
  for name, value in (
    ('score.content_weight', config.score.content_weight),
    ('score.threshold_quantile', config.score.threshold_quantile),
    ('data.validation_share', config.data.validation_share),
    ('data.train_share', config.data.train_share),
  ):
    if not 0 <= value <= 1:
      raise InputError(f'{name} is {value}; it must lie between 0 and 1')
  for name, value, known in (
    ('model.dtype', model.dtype, DTYPES),
    ('loss.adversarial_form', loss.adversarial_form, ADVERSARIAL_FORMS),
    ('score.kind', config.score.kind, KINDS),
    ('score.content_distance', config.score.content_distance, CONTENT_DISTANCES),
    ('score.map_units', config.score.map_units, MAP_UNITS),
    ('train.generator_input', train.generator_input, GENERATOR_INPUTS),
  ):
    if value not in known:
      raise InputError(f'{name} is {value!r}; it must be one of {", ".join(known)}')
  forges = config.forgery.cutpaste or config.forgery.cutout
  if train.generator_input == 'forged' and not forges:
    raise InputError(
      "train.generator_input is 'forged' but forgery.cutpaste and forgery.cutout are both off"
    )


def _parse_bands(bands: str, branches: int) -> tuple[int, ...]:
  """'all' or '1,3' → the indices of the bands kept, from 0."""
  if bands == 'all':
    return tuple(range(branches))
  numbers = bands.split(',')
  if not all(n.strip().isdigit() and 1 <= int(n) <= branches for n in numbers):
    raise InputError(
      f"model.bands is {bands!r}; it must be 'all' or numbers from 1 (the lowest band) "
      f'to model.branches = {branches}, as in 1,{branches}'
    )
  return tuple(sorted({int(n) - 1 for n in numbers}))
