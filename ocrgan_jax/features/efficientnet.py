"""EfficientNet-Lite up to stride 16, for inference (Tan and Le 2019; Lite by Liu 2020).

Each block expands the channels, filters each channel alone, and projects to few channels again
(MobileNetV2's inverted residual). Lite has no squeeze-and-excitation, and clips at 6 (ReLU6).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.ndimage import uniform_filter1d

from ocrgan_jax.core.platforms import by_platform

POSITIONS = 32  # a side, at most, as of the bands' statistics
# Of ImageNet's colours in [0, 1]; `efficientnet_lite_pytorch` documents this normalisation. Google
# trained on (x - 127) / 128, half the contrast.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
# Of each stage up to stride 16: kernel side, stride of its first block, blocks of Lite0.
STAGES = ((3, 1, 1), (3, 2, 2), (5, 2, 2), (3, 2, 3), (5, 1, 3))


class Variant(NamedTuple):
  """A size of the network.

  Attributes:
    depth: factor of the number of blocks of a stage, except the first stage.
    side: pixels a side of the images in training, which set the padding.
  """

  depth: float
  side: int


VARIANTS = {'lite0': Variant(1.0, 224), 'lite2': Variant(1.2, 260)}


class Convolution(NamedTuple):
  """A convolution with its batch normalisation folded in.

  Attributes:
    kernel: float32 [k, k, inputs, outputs]; [k, k, 1, channels] if each channel is filtered alone.
    bias: float32 [outputs].
  """

  kernel: Any
  bias: Any


class Block(NamedTuple):
  """An inverted residual block; `expand` is None in the first one."""

  expand: Convolution | None
  depthwise: Convolution
  project: Convolution


class Network(NamedTuple):
  """The weights up to stride 16."""

  stem: Convolution
  blocks: tuple[Block, ...]


def features(network: Network, images: jax.Array, name: str = 'lite0') -> jax.Array:
  """The features of images, averaged over 3×3 and brought to the positions of the statistics.

  Args:
    network: of `weights.load_network`.
    images: float [batch, size, size, 3] in [-1, 1]; size a power of two, 32 or more.
    name: of the network.

  Returns:
    float32 [batch, p, p, channels] with p = min(32, size / 8): the last block of stride 8, then
    that of stride 16, resized bilinearly.
  """
  # On a CPU, one image at a time takes 12 ms of a core and sixteen at once take 20 ms each, since
  # the maps of one stay in the caches; memory is 24 MiB instead of 194 (256 pixels).
  return by_platform(
    images,
    cpu=lambda images: lax.map(
      lambda image: _features(network, image[None], name, _depthwise_on_cpu)[0], images
    ),
    default=lambda images: _features(network, images, name, _depthwise),
  )


def last_blocks(
  network: Network, images: jax.Array, name: str, depthwise: Callable[..., jax.Array]
) -> tuple[jax.Array, jax.Array]:
  """The outputs of the last blocks of stride 8 and of stride 16.

  Args:
    network: of `weights.load_network`.
    images: float [batch, size, size, 3] in [-1, 1]; size a power of two, 32 or more.
    name: of the network.
    depthwise: computes the convolutions of single channels, `_depthwise` or `_depthwise_on_cpu`.

  Returns:
    float32 [batch, size / 8, size / 8, 40] and [batch, size / 16, size / 16, 112] for Lite0; 48
    and 120 channels for Lite2.
  """
  x = (images * 0.5 + 0.5 - MEAN) / STD
  first, *others = strides_and_paddings(name)
  x = _relu6(_convolve(x, network.stem.kernel, *first) + network.stem.bias)
  by_side = {}
  for block, (stride, padding) in zip(network.blocks, others, strict=True):
    y = x if block.expand is None else _relu6(_pointwise(x, block.expand))
    y = _relu6(depthwise(y, block.depthwise.kernel, stride, padding) + block.depthwise.bias)
    y = _pointwise(y, block.project)
    x = x + y if x.shape == y.shape else y
    by_side[x.shape[1]] = x
  size = images.shape[1]
  return by_side[size // 8], by_side[size // 16]


def _features(
  network: Network, images: jax.Array, name: str, depthwise: Callable[..., jax.Array]
) -> jax.Array:
  fine, maps = images.shape[1] // 8, []
  for x in last_blocks(network, images, name, depthwise):
    matrix = jnp.asarray(_to_positions(x.shape[1], fine), jnp.float32)
    maps.append(jnp.einsum('pi,qj,bijc->bpqc', matrix, matrix, x, precision='highest'))
  return jnp.concatenate(maps, axis=-1)


def strides_and_paddings(name: str) -> list[tuple[int, tuple[int, int]]]:
  """Stride and padding (before, after) of the stem and of each block.

  The package pads as TensorFlow's 'SAME' does for images of the size in training, whatever the
  size of the image; this decides where the features lie.
  """
  variant = VARIANTS[name]
  convolutions = [(3, 2)]
  for i, (kernel, stride, blocks) in enumerate(STAGES):
    count = math.ceil(variant.depth * blocks) if i else blocks
    convolutions += [(kernel, stride), *[(kernel, 1)] * (count - 1)]
  side, found = variant.side, []
  for kernel, stride in convolutions:
    padding = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
    found.append((stride, (padding // 2, padding - padding // 2)))
    side = math.ceil(side / stride)
  return found


def _relu6(x: jax.Array) -> jax.Array:
  return jnp.clip(x, 0.0, 6.0)


def _pointwise(x: jax.Array, convolution: Convolution) -> jax.Array:
  return jnp.matmul(x, convolution.kernel[0, 0], precision='highest') + convolution.bias


def _depthwise(x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[int, int]) -> jax.Array:
  """Filters each channel alone: [b, h, w, c], [k, k, 1, c] → [b, h / stride, w / stride, c]."""
  return _convolve(x, kernel, stride, padding, groups=x.shape[-1])


def _depthwise_on_cpu(
  x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[int, int]
) -> jax.Array:
  """`_depthwise` as shifted products, which takes XLA for CPUs an eighth of the time."""
  x = jnp.pad(x, ((0, 0), padding, padding, (0, 0)))
  batch, padded, _, channels = x.shape
  taps = range(kernel.shape[0])
  length = (padded - len(taps)) // stride * stride + 1
  at = lambda i, j: lax.slice(
    x, (0, i, j, 0), (batch, i + length, j + length, channels), (1, stride, stride, 1)
  )
  products = [at(i, j) * kernel[i, j, 0] for i in taps for j in taps]
  return functools.reduce(jnp.add, products)


def _convolve(
  x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[int, int], groups: int = 1
) -> jax.Array:
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    (padding, padding),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
    precision='highest',
  )


def _to_positions(side: int, fine: int) -> np.ndarray:
  """The matrix [p, side] that turns one axis of a map into positions.

  It averages three neighbours, repeating the border, resizes bilinearly to `fine`, and averages
  to p = min(POSITIONS, fine).
  """
  averaged = uniform_filter1d(np.eye(side), 3, axis=0, mode='nearest')
  at = (np.arange(fine) + 0.5) * side / fine - 0.5
  resized = np.stack([np.interp(at, np.arange(side), column) for column in averaged.T], axis=1)
  positions = min(POSITIONS, fine)
  return resized.reshape(positions, fine // positions, side).mean(1)
