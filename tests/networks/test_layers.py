import cv2
import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.networks.layers import BatchNorm, Conv, resize


def test_the_3x3_layer_keeps_the_resolution() -> None:
  x = jnp.ones((2, 8, 8, 3))
  layer = Conv(5, use_bias=True)
  variables = layer.init(jax.random.key(0), x)
  assert layer.apply(variables, x).shape == (2, 8, 8, 5)
  assert jax.tree.map(jnp.shape, variables['params']) == {'kernel': (3, 3, 3, 5), 'bias': (5,)}


def test_enlarging_agrees_with_opencv() -> None:
  x = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)
  expected = [cv2.resize(image, (16, 16), interpolation=cv2.INTER_LINEAR) for image in x]
  np.testing.assert_allclose(resize(jnp.asarray(x), 16), expected, atol=1e-6)


def test_batch_norm_keeps_torchs_running_statistics() -> None:
  # By hand: batch mean 2.5, biased variance 1.25, unbiased 5/3; momentum 0.1 of torch.
  x = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 1)
  norm = BatchNorm()
  variables = norm.init(jax.random.key(0), x, train=False)
  out, changes = norm.apply(variables, x, train=True, mutable=['batch_stats'])
  np.testing.assert_allclose(changes['batch_stats']['mean'], [0.25], rtol=1e-6)
  np.testing.assert_allclose(changes['batch_stats']['var'], [0.9 + 0.1 * 5 / 3], rtol=1e-6)
  scale = variables['params']['scale']
  np.testing.assert_allclose(out, (x - 2.5) / np.sqrt(1.25 + 1e-5) * scale, rtol=1e-5)
  scored = norm.apply({**variables, **changes}, x, train=False)
  np.testing.assert_allclose(scored, (x - 0.25) / np.sqrt(0.9 + 1 / 6 + 1e-5) * scale, rtol=1e-5)
