"""Builds the model and the programs to measure."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled, Lowered

from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import Trained, create_state, initial_state
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
  """Builds a model with the default settings."""
  config = default.get_config()
  config.image_size, config.model.width, config.model.dtype = shape.size, shape.width, dtype
  config.model.discriminator_width = discriminator_width(shape)
  model = build_model(config)
  assert isinstance(model, OCRGAN)
  return model


def new_arrays(what: str, model: OCRGAN, *, shapes_only: bool = False) -> Any:
  """What a program of `lower` takes before the images, from seed 0, or its shapes."""
  create = functools.partial(create_state, model, 0)
  state = jax.eval_shape(create) if shapes_only else initial_state(model, 0)
  return state if what == 'train' else Trained(state, np.ones((), np.float32))


def random_batch(shape: Shape, mesh: Mesh, seed: int = 0) -> jax.Array:
  """Random images on the device, uint8 [batch, size, size, 3]."""
  rng = np.random.default_rng(seed)
  images = rng.integers(0, 256, (shape.batch, shape.size, shape.size, 3), dtype=np.uint8)
  return sharding.put_batch(images, mesh)


def lower(what: str, model: OCRGAN, mesh: Mesh, batch: int) -> Lowered:
  """Traces a program from shapes alone, ready to compile.

  It is 'train', (state, images) → (state, losses), or 'score', (trained, images) → scores.
  """
  arrays = new_arrays(what, model, shapes_only=True)
  images = jax.ShapeDtypeStruct((batch, model.image_size, model.image_size, 3), np.uint8)
  if what == 'train':
    return sharding.jit_over_batch(train_step, mesh, donate=True, model=model).lower(arrays, images)
  scoring = sharding.jit_over_batch(score_step, mesh, model=model, outputs=('score',))
  return scoring.lower(arrays, images)


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
