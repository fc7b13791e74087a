import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.networks import layers
from ocrgan_jax.networks.layers import BatchNorm


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


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_batch_norm_in_one_pass_is_that_in_two(
  dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
  """The code for accelerators: outputs, running statistics and gradients."""
  x_key, out_key = jax.random.split(jax.random.key(0))
  x = (3 + jax.random.normal(x_key, (4, 8, 8, 5))).astype(dtype)
  norm = BatchNorm(dtype=dtype)
  variables = norm.init(jax.random.key(1), x, train=False)
  weights = jax.random.normal(out_key, x.shape)

  def loss(params: dict, x: jax.Array) -> tuple:
    of_batch = {**variables, 'params': params}
    out, changes = norm.apply(of_batch, x, train=True, mutable=['batch_stats'])
    return (out.astype(jnp.float32) * weights).sum(), (out, changes)

  def values_and_gradients() -> list[jax.Array]:
    found = jax.value_and_grad(loss, (0, 1), has_aux=True)(variables['params'], x)
    return jax.tree.leaves(found)

  expected = values_and_gradients()
  monkeypatch.setattr(layers, 'on_accelerator', lambda: True)
  tolerance = 1e-4 if dtype == jnp.float32 else 2e-2
  for found, wanted in zip(values_and_gradients(), expected, strict=True):
    np.testing.assert_allclose(
      *(np.asarray(y, np.float32) for y in (found, wanted)), rtol=tolerance, atol=tolerance
    )
