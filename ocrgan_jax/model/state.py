"""The arrays of the networks."""

from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp

from ocrgan_jax.model.ocrgan import OCRGAN


class NetworkState(flax.struct.PyTreeNode):
  """The arrays of G or D.

  Attributes:
    params: trained by the optimiser.
    batch_stats: running means and variances.
    opt_state: Adam's moments.
  """

  params: Any
  batch_stats: Any
  opt_state: Any

  @property
  def variables(self) -> dict[str, Any]:
    """The variables to score with, for `Module.apply`."""
    return {'params': self.params, 'batch_stats': self.batch_stats}


class State(flax.struct.PyTreeNode):
  """All arrays of a model: those that a step changes, and the random key.

  Attributes:
    step: int32 scalar, the number of steps done.
    key: uint32 [2], the data of a PRNG key, see `random_key`.
    generator: of G.
    discriminator: of D.
  """

  step: jax.Array
  key: jax.Array
  generator: NetworkState
  discriminator: NetworkState

  def random_key(self, number: int | jax.Array) -> jax.Array:
    """Returns the PRNG key of a numbered draw. Step s of training uses number s."""
    return jax.random.fold_in(jax.random.wrap_key_data(self.key), number)


class Trained(NamedTuple):
  """What trained networks score with.

  Attributes:
    state: the networks.
    map_unit: float32 scalar, by which anomaly maps are divided: their mean over normal images.
  """

  state: State
  map_unit: Any


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
    return NetworkState(params, batch_stats, optimizer.init(params))

  bands = [images] * len(model.bands)
  return State(
    step=jnp.zeros((), jnp.int32),
    key=jax.random.key_data(key),  # plain numbers, for checkpoints
    generator=network(model.generator.init(generator_key, bands, train=False)),
    discriminator=network(model.discriminator.init(discriminator_key, images, train=False)),
  )


# Compiled, with the model as a static argument. It runs only once: the default level, 3, gives the
# same bits but compiles more slowly.
initial_state = jax.jit(
  create_state, static_argnums=0, compiler_options={'xla_backend_optimization_level': 1}
)
