import jax
import jax.numpy as jnp
import pytest

from ocrgan_jax.networks import Discriminator


# The counts of the layer table, worked out from it and equal to the release's.
@pytest.mark.parametrize(('size', 'parameters'), [(256, 47_984_260), (32, 1_069_700)])
def test_parameter_count(size: int, parameters: int) -> None:
  images = jnp.zeros((1, size, size, 3))
  module = Discriminator(64)
  variables = jax.eval_shape(lambda: module.init(jax.random.key(0), images, train=False))
  assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == parameters


def test_gives_one_logit_and_100_features_per_image() -> None:
  images = jax.random.normal(jax.random.key(0), (3, 32, 32, 3))
  module = Discriminator(2)
  variables = jax.jit(lambda: module.init(jax.random.key(1), images, train=False))()
  logits, latent = jax.jit(lambda v: module.apply(v, images, train=False))(variables)
  assert logits.shape == (3,)
  assert latent.shape == (3, 100)
  # The logit is a weighing of the features by the middle of its 3×3 kernel.
  kernel = variables['params']['logit']['kernel'][1, 1, :, 0]
  assert jnp.allclose(logits, latent @ kernel, atol=1e-6)
