import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ocrgan_jax.networks.layers import BatchNorm, strided_conv, transposed_conv

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def plain_strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


def plain_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
  # Torch's kernel meets the output turned round, which is XLA's convention flipped.
  return lax.conv_transpose(
    x, kernel[::-1, ::-1], (2, 2), ((2, 2), (2, 2)), dimension_numbers=LAYOUT
  )


# Of all ways in which they are computed: one pixel, few pixels, many.
@pytest.mark.parametrize(('height', 'width'), [(2, 2), (2, 4), (8, 8), (32, 20)])
@pytest.mark.parametrize(
  ('ours', 'plain'), [(strided_conv, plain_strided), (transposed_conv, plain_transposed)]
)
def test_convolutions_and_their_gradients_are_those_of_xla(
  ours, plain, height: int, width: int
) -> None:
  x_key, kernel_key, out_key = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(x_key, (3, height, width, 5))
  kernel = jax.random.normal(kernel_key, (4, 4, 5, 7))

  def value_and_gradients(conv, x: jax.Array, kernel: jax.Array) -> tuple:
    out, pullback = jax.vjp(conv, x, kernel)
    return out, *pullback(jax.random.normal(out_key, out.shape))

  expected, result = (
    jax.jit(value_and_gradients, static_argnums=0)(c, x, kernel) for c in (plain, ours)
  )
  for got, wanted in zip(result, expected, strict=True):
    np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_transposed_convolution_of_one_pixel_is_the_middle_of_its_kernel() -> None:
  # By hand: input row 0 meets output row -1 + k with kernel row k.
  kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
  out = transposed_conv(jnp.ones((1, 1, 1, 1)), kernel)
  np.testing.assert_array_equal(out[0, :, :, 0], [[5, 6], [9, 10]])


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
