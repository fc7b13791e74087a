"""The state of training as pure arrays."""

from typing import Any

import flax
import jax
import jax.numpy as jnp

from ocrgan_jax.density import gaussian
from ocrgan_jax.density.gaussian import Gaussians
from ocrgan_jax.model.ocrgan import OCRGAN


class NetworkState(flax.struct.PyTreeNode):
  """The arrays of G or of D.

  Attributes:
    params: trained by the optimiser.
    batch_stats: running means and variances.
    opt_state: Adam's moments.
    average: of the params and of the batch_stats over the steps, by these names; empty
      where `train.average` is 0.
  """

  params: Any
  batch_stats: Any
  opt_state: Any
  average: Any

  @property
  def variables(self) -> dict[str, Any]:
    """What `Module.apply` takes to score: the average, where there is one."""
    return self.average or {'params': self.params, 'batch_stats': self.batch_stats}


class State(flax.struct.PyTreeNode):
  """Everything that a step changes, and the key of its random draws.

  Attributes:
    step: int32 scalar, the number of steps done.
    key: uint32 [2], the data of a PRNG key, see `random_key`.
    generator: of G.
    discriminator: of D.
    density: of band statistics, if D is given the deviations from it; else empty. It is
      fitted before the first step and stays.
  """

  step: jax.Array
  key: jax.Array
  generator: NetworkState
  discriminator: NetworkState
  density: tuple[Gaussians, ...]

  def random_key(self, number: int | jax.Array) -> jax.Array:
    """The PRNG key of one draw; step s of training draws with s."""
    return jax.random.fold_in(jax.random.wrap_key_data(self.key), number)


def create_state(model: OCRGAN, seed: int | jax.Array) -> State:
  """Draws a new state.

  Args:
    model: the static description.
    seed: an integer, or an int32 scalar (so that one program serves all seeds).

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
  judged: list[Any] = [images]
  if model.sees_deviations:
    lists = model.stages.fits_before
    fitted = tuple(gaussian.empty(model.density, names, model.image_size) for names in lists)
  if model.judges_pixels:
    seen = sum(len(part.channels) for part in fitted)
    half = model.image_size // 2
    judged += [images, jnp.zeros((1, half, half, seen))]
  return State(
    step=jnp.zeros((), jnp.int32),
    key=jax.random.key_data(key),  # plain numbers, for checkpoints
    generator=network(model.generator.init(generator_key, bands, train=False)),
    discriminator=network(model.discriminator.init(discriminator_key, *judged, train=False)),
    density=fitted,
  )
