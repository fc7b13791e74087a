"""The state of training as pure arrays, and the static description of the model."""

from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax

from ocrgan_jax.losses import Loss
from ocrgan_jax.networks import Discriminator, Generator
from ocrgan_jax.scoring import Score


class Forgery(NamedTuple):
  """Which anomalies are forged into normal images for D (Table V)."""

  cutpaste: bool = True
  cutout: bool = True


class OCRGAN(NamedTuple):
  """All that is fixed while a model trains and scores: hashable, no arrays.

  Attributes:
    generator: G, one U-Net for each of the bands kept.
    discriminator: D.
    optimizer: of G and of D, each with a state of its own.
    image_size: side of the images in pixels.
    branches: N, the number of bands that FD makes.
    bands: which of them, from 0 (the lowest), are kept; all but in Table VI.
    generator_input: what G is given in training, 'normal' (the paper) or
      'forged', to be restored to the normal image.
    loss: Eq. 9-12.
    forgery: CutPaste and CutOut.
    score: Eq. 13, or of the anomaly map.
  """

  generator: Generator
  discriminator: Discriminator
  optimizer: optax.GradientTransformation
  image_size: int
  branches: int
  bands: tuple[int, ...]
  generator_input: str
  loss: Loss
  forgery: Forgery
  score: Score

  @property
  def forges(self) -> bool:
    """Whether training makes forged images at all."""
    return self.forgery.cutpaste or self.forgery.cutout

  @property
  def trains_discriminator(self) -> bool:
    """Whether anything, G's loss or the score, looks at D."""
    in_loss = self.loss.adversarial > 0 or self.loss.latent > 0
    return in_loss or self.score.looks_at_discriminator


class NetworkState(flax.struct.PyTreeNode):
  """The arrays of G or of D.

  Attributes:
    params: trained by the optimizer.
    batch_stats: running means and variances.
    opt_state: Adam's moments.
  """

  params: Any
  batch_stats: Any
  opt_state: Any

  @property
  def variables(self) -> dict[str, Any]:
    """What `Module.apply` takes."""
    return {'params': self.params, 'batch_stats': self.batch_stats}


class State(flax.struct.PyTreeNode):
  """Everything that a step changes, and the key of its random draws.

  Attributes:
    step: int32 scalar, the number of steps done.
    key: uint32 [2], a PRNG key; step s draws from `fold_in(key, s)`.
    generator: of G.
    discriminator: of D.
  """

  step: jax.Array
  key: jax.Array
  generator: NetworkState
  discriminator: NetworkState


def create_state(model: OCRGAN, seed: int | jax.Array) -> State:
  """Draws a new state.

  Args:
    model: the static description.
    seed: an integer, or an int32 scalar (so that seeds can be vmapped over).

  Returns:
    The state before the first step.
  """
  key, generator_key, discriminator_key = jax.random.split(jax.random.PRNGKey(seed), 3)
  images = jnp.zeros((1, model.image_size, model.image_size, 3))

  def network(variables: Any) -> NetworkState:
    params = variables['params']
    return NetworkState(
      params=params,
      batch_stats=variables.get('batch_stats', {}),
      opt_state=model.optimizer.init(params),
    )

  bands = [images] * len(model.bands)
  return State(
    step=jnp.zeros((), jnp.int32),
    key=key,
    generator=network(model.generator.init(generator_key, bands, train=False)),
    discriminator=network(model.discriminator.init(discriminator_key, images, train=False)),
  )


def adam(
  learning_rate: float, *, beta1: float, beta2: float, weight_decay: float
) -> optax.GradientTransformation:
  """Torch's Adam: the decay is added to the gradient before the moments see it.

  Args:
    learning_rate: step size.
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    weight_decay: L2 weight; with 0 it is left out.

  Returns:
    The optimizer.
  """
  coupled = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
  return optax.chain(*coupled, optax.adam(learning_rate, b1=beta1, b2=beta2, eps=1e-8))
