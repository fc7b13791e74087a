"""Magnetic tile surface defects (Huang, Qiu, Yuan: The Visual Computer 36, 2020).

Two layouts are supported. The authors':

  data_dir/MT_Free/Imgs/*.jpg
  data_dir/MT_Crack/Imgs/*.jpg, each with a mask *.png of the same name

It has no official split: a share of the normal images is for training. And MVTec AD's
(`data_dir/train/good` and so on), which is already split.

https://github.com/abin24/Magnetic-tile-defect-datasets., to be used with a citation.
"""

from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.datasets.mvtec_ad import TREE, list_tree
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  NORMAL,
  NORMAL_TYPE,
  Example,
  Examples,
  image_files,
  require_folder,
)

DEFECTS = ('Blowhole', 'Break', 'Crack', 'Fray', 'Uneven')
LAYOUT = f'MT_Free/Imgs/*.jpg and MT_<defect>/Imgs/*.jpg, or {TREE}'


class MagneticTile(AnomalyDataset):
  """Magnetic tiles: grey images of many sizes, five defect types, with masks."""

  def list_examples(self) -> Examples:
    """Takes a share of the normal images for training; the rest and all defects are for testing."""
    root = require_folder(self.source, LAYOUT)
    if (root / 'train').is_dir():
      return list_tree(root)
    normal = [
      Example(path.relative_to(root).as_posix(), NORMAL, NORMAL_TYPE, path)
      for path in _images(root, 'Free')
    ]
    if not normal:
      raise InputError(f'no images in {root / "MT_Free" / "Imgs"}; expected {LAYOUT}')
    anomalous = [
      Example(path.relative_to(root).as_posix(), ANOMALOUS, kind.lower(), path, _mask(path))
      for kind in DEFECTS
      for path in _images(root, kind)
    ]
    return Examples(normal, anomalous, train_share=self.settings.train_share)


def _images(root: Path, kind: str) -> list[Path]:
  files = image_files(root / f'MT_{kind}' / 'Imgs')
  return [path for path in files if path.suffix.lower() != '.png']


def _mask(image: Path) -> Path | None:
  mask = image.with_suffix('.png')
  return mask if mask.is_file() else None
