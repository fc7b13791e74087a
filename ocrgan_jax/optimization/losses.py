"""The training losses, Eq. 9-12 (III-D).

D's logits are high for real images. Every loss is a float32 scalar, the mean over the batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ocrgan_jax.core.checks import at_least, check, one_of
from ocrgan_jax.core.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
  """The config's section `loss`: the weights of Eq. 12 and its adversarial term.

  A term of weight 0 is not computed.

  Attributes:
    content: λ_con, the weight of Eq. 9.
    adversarial: λ_adv, the weight of the adversarial term for G.
    latent: λ_lat, the weight of Eq. 11.
    adversarial_form: 'bce', binary cross-entropy on logits with real = 1, non-saturating for G
      (as in the release and Skip-GANomaly), or 'expectation', Eq. 10 as printed.
    discriminator_latent: weight of Eq. 11 in D's loss; the release uses 1.

  Raises:
    InputError: if a field is out of bounds, or all of G's terms have weight 0.
  """

  content: float = at_least(0)
  adversarial: float = at_least(0)
  latent: float = at_least(0)
  adversarial_form: str = one_of('bce', 'expectation')
  discriminator_latent: float = at_least(0)

  def __post_init__(self) -> None:
    check(self, 'loss')
    terms = generator_terms(self)
    if not any(term.weight > 0 for term in terms.values()):
      raise InputError(f'loss.{", loss.".join(terms)} are all 0: G has no loss; set one above 0')


class GeneratorOutputs(NamedTuple):
  """Inputs of the terms of G's loss. D's outputs are None if no term needs them.

  Attributes:
    real: the images to reconstruct, [batch, size, size, 3].
    fake: the reconstructions Î, shaped like `real`.
    fake_logits: D's logits of the reconstructions, [batch].
    real_latent: `D_lat` of the images, [batch, 100].
    fake_latent: `D_lat` of the reconstructions, [batch, 100].
  """

  real: jax.Array
  fake: jax.Array
  fake_logits: Any = None
  real_latent: Any = None
  fake_latent: Any = None


class Term(NamedTuple):
  """One term of Eq. 12.

  Attributes:
    weight: its λ.
    function: from the outputs to a scalar.
    needs_discriminator: whether it uses D's outputs.
  """

  weight: float
  function: Callable[[GeneratorOutputs], jax.Array]
  needs_discriminator: bool = False


def generator_terms(loss: Loss) -> dict[str, Term]:
  """The terms of G's loss, Eq. 12, by their names in the log."""
  return {
    'content': Term(loss.content, lambda x: content_loss(x.real, x.fake)),
    'adversarial': Term(
      loss.adversarial,
      lambda x: generator_adversarial_loss(x.fake_logits, loss.adversarial_form),
      needs_discriminator=True,
    ),
    'latent': Term(
      loss.latent, lambda x: latent_loss(x.real_latent, x.fake_latent), needs_discriminator=True
    ),
  }


def content_loss(images: jax.Array, reconstructions: jax.Array) -> jax.Array:
  """Eq. 9: the mean absolute difference of [batch, size, size, 3] images."""
  return jnp.abs(images - reconstructions).mean()


def latent_loss(latent: jax.Array, reconstructed_latent: jax.Array) -> jax.Array:
  """Eq. 11: the mean squared difference of `D_lat` features [batch, 100]."""
  return jnp.square(latent - reconstructed_latent).mean()


def generator_adversarial_loss(fake_logits: jax.Array, form: str) -> jax.Array:
  """G's side of Eq. 10, from D's logits of the reconstructions, [batch].

  With 'expectation', as in Eq. 10, D raises its output for anomalous images and G lowers it. With
  'bce', real images have the high logits.
  """
  if form == 'bce':
    return cross_entropy(fake_logits, real=True)
  return fake_logits.mean()


def discriminator_adversarial_loss(
  real_logits: jax.Array, fake_logits: list[jax.Array], form: str
) -> jax.Array:
  """D's side of Eq. 10.

  Args:
    real_logits: of normal images, [batch].
    fake_logits: of reconstructions and, unless forging is off, of forged images, [batch] each.
    form: 'bce' or 'expectation'.

  Returns:
    The sum of the mean losses of each kind of image.
  """
  if form == 'bce':
    return cross_entropy(real_logits, real=True) + sum(
      cross_entropy(logits, real=False) for logits in fake_logits
    )
  return real_logits.mean() - sum(logits.mean() for logits in fake_logits)


def cross_entropy(logits: jax.Array, *, real: bool) -> jax.Array:
  """Mean binary cross-entropy of logits [batch] that are all real, or all fake."""
  return jax.nn.softplus(-logits if real else logits).mean()
