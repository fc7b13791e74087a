"""The losses of training, Eq. 9-12 (III-D).

Logits are high for images that D takes for real ones. Every function returns a
float32 scalar, the mean over the batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Loss(NamedTuple):
  """The weights of Eq. 12 and the form of its adversarial term.

  A term of weight 0 is not computed.

  Attributes:
    content: λ_con, the weight of Eq. 9.
    adversarial: λ_adv, the weight of the adversarial term for G.
    latent: λ_lat, the weight of Eq. 11.
    adversarial_form: 'bce', binary cross-entropy on logits with real = 1 (what
      the release and Skip-GANomaly use; G non-saturating), or 'expectation',
      Eq. 10 as printed.
    discriminator_latent: weight of Eq. 11 in D's loss, 1 in the release.
  """

  content: float = 50.0
  adversarial: float = 1.0
  latent: float = 1.0
  adversarial_form: str = 'bce'
  discriminator_latent: float = 0.0


ADVERSARIAL_FORMS = ('bce', 'expectation')


def content_loss(images: jax.Array, reconstructions: jax.Array) -> jax.Array:
  """Eq. 9: the mean absolute difference of [batch, size, size, 3] images."""
  return jnp.abs(images - reconstructions).mean()


def latent_loss(latent: jax.Array, reconstructed_latent: jax.Array) -> jax.Array:
  """Eq. 11: the mean squared difference of `D_lat` features [batch, 100]."""
  return jnp.square(latent - reconstructed_latent).mean()


def generator_adversarial_loss(fake_logits: jax.Array, form: str) -> jax.Array:
  """What G minimises of Eq. 10, given D's logits of reconstructions, [batch].

  In the form 'expectation' D is trained to raise its output for anomalous
  images, as Eq. 10 has it, and G lowers it; in 'bce' real images are the high ones.
  """
  if form == 'bce':
    return cross_entropy(fake_logits, real=True)
  return fake_logits.mean()


def discriminator_adversarial_loss(
  real_logits: jax.Array, fake_logits: list[jax.Array], form: str
) -> jax.Array:
  """What D minimises of Eq. 10.

  Args:
    real_logits: of normal images, [batch].
    fake_logits: of reconstructions and, unless forging is off, of forged images,
      [batch] each.
    form: 'bce' or 'expectation'.

  Returns:
    The sum of one mean a kind of image.
  """
  if form == 'bce':
    return cross_entropy(real_logits, real=True) + sum(
      cross_entropy(logits, real=False) for logits in fake_logits
    )
  return real_logits.mean() - sum(logits.mean() for logits in fake_logits)


def cross_entropy(logits: jax.Array, *, real: bool) -> jax.Array:
  """Mean binary cross-entropy of logits [batch] that should all be real, or all not."""
  return jax.nn.softplus(-logits if real else logits).mean()
