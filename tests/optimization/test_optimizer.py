import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.core.checks import read
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.optimization.optimizer import Optimizer
from tests.conftest import tiny_config


def moves(steps: int, gradient: float = 1.0, **fields: object) -> list[float]:
  """How far Adam moves one number in each step under a constant gradient."""
  config = tiny_config('', train__learning_rate=0.1, train__weight_decay=0.0, **fields)
  optimizer = read(Optimizer, config.train).transformation()
  value, found = jnp.zeros(()), []
  state = optimizer.init(value)
  for _ in range(steps):
    update, state = optimizer.update(jnp.asarray(gradient), state, value)
    found.append(-float(update))
  return found


def test_the_rate_warms_up_and_falls_to_zero_at_the_last_step() -> None:
  # Under a constant gradient Adam moves by the rate itself.
  found = moves(20, train__steps=20, train__warmup=5, train__decay='cosine')
  warm = 0.1 * np.arange(5) / 5
  falling = 0.05 * (1 + np.cos(np.pi * np.arange(15) / 15))
  np.testing.assert_allclose(found, [*warm, *falling], atol=1e-6)
  np.testing.assert_allclose(moves(4, train__warmup=2), [0, 0.05, 0.1, 0.1], atol=1e-6)
  np.testing.assert_allclose(moves(3), [0.1] * 3, rtol=1e-5)


def test_only_long_gradients_are_clipped() -> None:
  config = tiny_config('', train__clip=1.0, train__weight_decay=0.0)
  optimizer = read(Optimizer, config.train).transformation()
  params = {'a': jnp.zeros(2), 'b': jnp.zeros(())}
  mean = lambda gradient: optimizer.update(gradient, optimizer.init(params), params)[1]
  long = {'a': jnp.array([3.0, 0.0]), 'b': jnp.asarray(4.0)}
  short = jax.tree.map(lambda x: x / 10, long)
  first, second = mean(long), mean(short)  # Adam's first moments: (1 - β1) times the gradient
  np.testing.assert_allclose(jax.tree.leaves(first)[1], 0.5 * np.array([0.6, 0]), rtol=1e-5)
  np.testing.assert_allclose(jax.tree.leaves(second)[1], 0.5 * np.array([0.3, 0]), rtol=1e-5)


def test_cosine_decay_needs_a_number_of_steps() -> None:
  with pytest.raises(InputError, match=r'needs train.steps above train.warmup = 0; it is 0'):
    moves(1, train__decay='cosine')
