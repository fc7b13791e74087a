"""The training state: arrays only."""

from typing import Any

import flax
import jax
import jax.numpy as jnp

from ocrgan_jax.density import gaussian
from ocrgan_jax.density.gaussian import Gaussians
from ocrgan_jax.model.ocrgan import OCRGAN


class NetworkState(flax.struct.PyTreeNode):
  """The arrays of G or D.

  Attributes:
    params: trained by the optimiser.
    batch_stats: running means and variances.
    opt_state: Adam's moments.
    average: moving averages of `params` and `batch_stats`, keyed by these names; empty if
      `train.average` is 0.
  """

  params: Any
  batch_stats: Any
  opt_state: Any
  average: Any

  @property
  def variables(self) -> dict[str, Any]:
    """The variables to score with, for `Module.apply`: the average if there is one."""
    return self.average or {'params': self.params, 'batch_stats': self.batch_stats}


class State(flax.struct.PyTreeNode):
  """All arrays of a model: those that a step changes, the random key, and D's density.

  Attributes:
    step: int32 scalar, the number of steps done.
    key: uint32 [2], the data of a PRNG key, see `random_key`.
    generator: of G.
    discriminator: of D.
    density: of band statistics, if D takes the deviations from it, else empty. It is fitted
      before the first step and does not change.
  """

  step: jax.Array
  key: jax.Array
  generator: NetworkState
  discriminator: NetworkState
  density: tuple[Gaussians, ...]

  def random_key(self, number: int | jax.Array) -> jax.Array:
    """Returns the PRNG key of a numbered draw. Step s of training uses number s."""
    return jax.random.fold_in(jax.random.wrap_key_data(self.key), number)


def create_state(model: OCRGAN, seed: int | jax.Array) -> State:
  """Initialises a state.

  Args:
    model: the static description.
    seed: an integer, or an int32 scalar so that one compiled program serves all seeds.

  Returns:
    The state before the first step.
  """
  key, generator_key, discriminator_key = jax.random.split(jax.random.key(seed), 3)
  images = jnp.zeros((1, model.image_size, model.image_size, 3))

  optimizer = model.optimizer.transformation()

  def network(variables: Any) -> NetworkState:
    params, batch_stats = variables['params'], variables.get('batch_stats', {})
    average = {'params': params, 'batch_stats': batch_stats} if model.optimizer.average else {}
    return NetworkState(params, batch_stats, optimizer.init(params), average)

  if not model.trains:
    nothing = NetworkState({}, {}, {}, {})
    number = jnp.zeros((), jnp.int32)
    return State(number, jax.random.key_data(key), nothing, nothing, density=())
  bands = [images] * len(model.bands)
  fitted: tuple[Gaussians, ...] = ()
  discriminator_inputs: list[Any] = [images]
  if model.sees_deviations:
    lists = model.stages.fits_before_training
    fitted = tuple(gaussian.empty(model.density, names, model.image_size) for names in lists)
  if model.judges_pixels:
    channels = sum(len(part.channels) for part in fitted)
    half = model.image_size // 2
    discriminator_inputs += [images, jnp.zeros((1, half, half, channels))]
  return State(
    step=jnp.zeros((), jnp.int32),
    key=jax.random.key_data(key),  # plain numbers, for checkpoints
    generator=network(model.generator.init(generator_key, bands, train=False)),
    discriminator=network(
      model.discriminator.init(discriminator_key, *discriminator_inputs, train=False)
    ),
    density=fitted,
  )
