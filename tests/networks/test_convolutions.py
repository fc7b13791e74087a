from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ocrgan_jax.networks import convolutions
from ocrgan_jax.networks.convolutions import strided_conv, transposed_conv

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def plain_strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


def plain_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
  # Torch's kernel meets the output turned round, which is XLA's convention flipped.
  return lax.conv_transpose(
    x, kernel[::-1, ::-1], (2, 2), ((2, 2), (2, 2)), dimension_numbers=LAYOUT
  )


# Sizes for each form on a CPU.
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


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (2, 2), (8, 8), (32, 20)])
@pytest.mark.parametrize(
  ('kind', 'plain'), [('strided', plain_strided), ('transposed', plain_transposed)]
)
def test_the_code_for_cpus_and_for_accelerators_agrees(
  kind: str, plain: Callable[..., jax.Array], height: int, width: int
) -> None:
  """Tests run on a CPU, which would never use the code for accelerators, so both are called.

  With the three channels of an image both work on blocks of pixels, so XLA's own is the third.
  """
  first, second = jax.random.split(jax.random.key(0))
  small, large = (height, width, 5), (2 * height, 2 * width, 3)
  shape, other = (large, small) if kind == 'strided' else (small, large)
  x = jax.random.normal(first, (3, *shape))
  kernel = jax.random.normal(second, (4, 4, shape[-1], other[-1]))
  for form in (f'_{kind}', f'_{kind}_on_cpu'):
    found = getattr(convolutions, form)(x, kernel)
    np.testing.assert_allclose(found, plain(x, kernel), atol=1e-3)


def test_accelerators_use_xlas_own_convolution() -> None:
  x, kernel = jnp.zeros((2, 8, 8, 16)), jnp.zeros((4, 4, 16, 8))
  count = {}
  for platform in ('cpu', 'cuda'):
    exported = jax.export.export(jax.jit(strided_conv), platforms=[platform])(x, kernel)
    count[platform] = exported.mlir_module().count('stablehlo.convolution')
  assert count == {'cpu': 0, 'cuda': 1}  # a CPU multiplies patches at this size
