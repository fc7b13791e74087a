"""Builds the model and the programs to measure."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled, Wrapped

from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.training.step import train_step


class Shape(NamedTuple):
  """What the time of a step depends on: image size, width w, and images per step."""

  size: int
  width: int
  batch: int

  def __str__(self) -> str:
    """The shape as in the tables."""
    return f'({self.size}, {self.width}, {self.batch})'

  @classmethod
  def parse(cls, text: str) -> 'Shape':
    """Reads `size:width:batch`."""
    try:
      return cls(*map(int, text.split(':')))
    except (TypeError, ValueError):
      raise InputError(f'{text!r} is no shape; --shapes takes size:width:batch') from None


def first_device() -> Mesh:
  """A mesh of only the first device; everything is measured on it."""
  return sharding.make_mesh(jax.devices()[:1])


def discriminator_width(shape: Shape) -> int:
  """Channels of D's first stage, as in the reference: G's width up to 16, else the paper's 64."""
  return shape.width if shape.width <= 16 else 64


def model_of(shape: Shape, dtype: str) -> OCRGAN:
  """Builds a model with the default settings.

  Args:
    shape: shape of the model.
    dtype: type of the computation.

  Returns:
    The model.
  """
  config = default.get_config()
  config.image_size, config.model.width, config.model.dtype = shape.size, shape.width, dtype
  config.model.discriminator_width = discriminator_width(shape)
  return build_model(config)


def random_batch(shape: Shape, mesh: Mesh) -> jax.Array:
  """Random images on the device, uint8 [batch, size, size, 3]."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (shape.batch, shape.size, shape.size, 3), dtype=np.uint8)
  return sharding.put_batch(images, mesh)


def training_program(model: OCRGAN, mesh: Mesh) -> Wrapped:
  """The jitted training step, (state, batch) → (state, losses)."""
  return sharding.jit_over_batch(functools.partial(train_step, model=model), mesh, donate=True)


def scoring_program(model: OCRGAN, mesh: Mesh) -> Wrapped:
  """The jitted scoring, (state, map unit, batch) → scores."""
  scored = lambda *arguments: score_step(*arguments, model=model)['score']
  return sharding.jit_over_batch(scored, mesh, num_replicated=2)


def peak_memory(compiled: Compiled) -> int:
  """The bytes that a compiled program needs on its device, according to the compiler."""
  memory: Any = compiled.memory_analysis()
  peak: int = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes
  )
  return peak
