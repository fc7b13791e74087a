import jax.numpy as jnp
import numpy as np

from ocrgan_jax.core.checks import read
from ocrgan_jax.optimization.optimizer import Optimizer
from tests.conftest import tiny_config


def test_weight_decay_is_added_to_the_gradient_as_in_torchs_adam() -> None:
  config = tiny_config('', train__learning_rate=0.1, train__weight_decay=0.5)
  optimizer = read(Optimizer, config.train).transformation()
  weights = jnp.array([2.0, -2.0, 0.0])
  gradient = jnp.array([-0.4, 0.4, 0.4])
  # Adam's first step is the rate against the sign of 0.5 w + g = [0.6, -0.6, 0.4]; AdamW's would
  # be the rate against the sign of g.
  update, _ = optimizer.update(gradient, optimizer.init(weights), weights)
  np.testing.assert_allclose(update, [-0.1, 0.1, -0.1], rtol=1e-5)
