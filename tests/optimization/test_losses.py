"""Expected values are worked out by hand in the comments."""

import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.optimization import losses

LOG_1_PLUS_E = 1.3132616875182228  # ln(1 + e)
LN_2 = 0.6931471805599453


def test_content_is_the_mean_absolute_difference() -> None:
  images = jnp.array([0.5, -1.0, 0.0, 1.0]).reshape(1, 2, 2, 1)
  made = jnp.array([0.0, 1.0, 0.0, 0.5]).reshape(1, 2, 2, 1)
  # (0.5 + 2 + 0 + 0.5) / 4
  assert losses.content_loss(images, made) == pytest.approx(0.75)


def test_latent_is_the_mean_squared_difference() -> None:
  # (1 + 4 + 0 + 9) / 4
  first, second = jnp.array([[1.0, 2.0], [0.0, 3.0]]), jnp.zeros((2, 2))
  assert losses.latent_loss(first, second) == pytest.approx(3.5)


def test_binary_cross_entropy_takes_real_as_one() -> None:
  # -ln σ(0) = ln 2; -ln σ(-1) = ln(1 + e); -ln(1 - σ(1)) = ln(1 + e)
  logits = jnp.array([0.0, -1.0])
  expected = (LN_2 + LOG_1_PLUS_E) / 2
  assert losses.generator_adversarial_loss(logits, 'bce') == pytest.approx(expected)
  loss = losses.discriminator_adversarial_loss(
    jnp.array([-1.0]), [jnp.array([1.0]), jnp.array([0.0])], 'bce'
  )
  assert loss == pytest.approx(2 * LOG_1_PLUS_E + LN_2)


def test_expectation_is_equation_10_as_printed() -> None:
  # L_adv = E D(Î) + E D(Ĩ) - E D(I) = 2 + 5 - 1; D maximises it, G minimises its part.
  real, fake, forged = jnp.array([0.0, 2.0]), jnp.array([1.0, 3.0]), jnp.array([5.0])
  loss = losses.discriminator_adversarial_loss(real, [fake, forged], 'expectation')
  assert loss == pytest.approx(-6.0)
  assert losses.generator_adversarial_loss(fake, 'expectation') == pytest.approx(2.0)


def test_large_logits_stay_finite() -> None:
  loss = losses.cross_entropy(jnp.array([-1e4]), real=True)
  assert np.isfinite(loss) and loss == pytest.approx(1e4)
