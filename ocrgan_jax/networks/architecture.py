"""The config's section `model`: the architecture of the networks."""

import dataclasses

import jax.numpy as jnp

from ocrgan_jax.core.checks import at_least, check, one_of
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.platforms import dtype_of_computation
from ocrgan_jax.networks.discriminator import Discriminator
from ocrgan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
  """Sizes and switches of G and D.

  Attributes:
    width: w, channels of G's first stage.
    discriminator_width: channels of D's first stage.
    branches: N, the number of frequency bands.
    bands: 'all', or the bands to keep, 1 being the lowest, e.g. '1,3'.
    dtype: of the computation, as in `platforms.dtype_of_computation`; parameters and losses
      are float32.
    channel_selection: whether CS connects the branches.

  Raises:
    InputError: if a field is out of bounds.
  """

  width: int = at_least(1)
  discriminator_width: int = at_least(1)
  branches: int = at_least(1)
  bands: str
  dtype: str = one_of('auto', 'float32', 'bfloat16')
  channel_selection: bool

  def __post_init__(self) -> None:
    check(self, 'model')
    self.kept_bands()

  def generator(self) -> Generator:
    """Builds G."""
    return Generator(self.width, channel_selection=self.channel_selection, dtype=self._jax_dtype())

  def discriminator(self) -> Discriminator:
    """Builds D."""
    return Discriminator(self.discriminator_width, dtype=self._jax_dtype())

  def _jax_dtype(self) -> jnp.dtype:
    return jnp.dtype(dtype_of_computation(self.dtype))

  def kept_bands(self) -> tuple[int, ...]:
    """The indices of the bands to keep; 0 is the lowest.

    Raises:
      InputError: if `bands` is not a list of existing bands.
    """
    if self.bands == 'all':
      return tuple(range(self.branches))
    numbers = self.bands.split(',')
    if not all(n.strip().isdecimal() and 1 <= int(n) <= self.branches for n in numbers):
      raise InputError(
        f"model.bands is {self.bands!r}; it must be 'all' or numbers from 1 (the lowest band) "
        f'to model.branches = {self.branches}, e.g. 1,{self.branches}'
      )
    return tuple(sorted({int(n) - 1 for n in numbers}))
