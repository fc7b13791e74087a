import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.networks import ChannelSelection


def features(branches: int, channels: int = 6) -> list[jax.Array]:
  return list(jax.random.normal(jax.random.key(1), (branches, 2, 4, 4, channels)))


@pytest.mark.parametrize('branches', [1, 3])
def test_weights_sum_to_one_over_the_branches(branches: int) -> None:
  module, inputs = ChannelSelection(), features(branches)
  variables = module.init(jax.random.key(0), inputs)
  _, sown = module.apply({'params': variables['params']}, inputs, mutable=['intermediates'])
  (weights,) = sown['intermediates']['weights']
  assert weights.shape == (branches, 2, 6)
  np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-6)


def test_output_is_equations_4_to_8() -> None:
  module, (low, high) = ChannelSelection(), features(2)
  params = module.init(jax.random.key(0), [low, high])['params']
  # Biases start at 0; make them count.
  params = jax.tree.map(lambda p: p + 0.1, params)
  z1 = (low + high).mean((1, 2))
  z2 = z1 @ params['squeeze']['kernel'] + params['squeeze']['bias']
  assert z2.shape[-1] == 32  # max(6 / 2, 32)
  to_low, to_high = (
    jnp.exp(z2 @ params[name]['kernel'] + params[name]['bias']) for name in ('branch1', 'branch2')
  )
  weight = (to_low / (to_low + to_high))[:, None, None]
  outputs = module.apply({'params': params}, [low, high])
  np.testing.assert_allclose(outputs[0], weight * low, rtol=1e-4)
  np.testing.assert_allclose(outputs[1], (1 - weight) * high, rtol=1e-4)


def test_a_single_branch_passes_unchanged() -> None:
  module, inputs = ChannelSelection(), features(1)
  outputs = module.apply(module.init(jax.random.key(0), inputs), inputs)
  np.testing.assert_array_equal(outputs[0], inputs[0])


def test_every_parameter_gets_a_gradient() -> None:
  module, inputs = ChannelSelection(), features(3)
  params = module.init(jax.random.key(0), inputs)['params']
  loss = lambda p: sum(nn.tanh(out).sum() for out in module.apply({'params': p}, inputs))
  for path, gradient in jax.tree_util.tree_leaves_with_path(jax.grad(loss)(params)):
    assert jnp.abs(gradient).max() > 0, jax.tree_util.keystr(path)
