"""Magnetic tile surface defects (Huang, Qiu, Yuan, 2020).

Two layouts are supported. The authors':

  data_dir/MT_Free/Imgs/*.jpg
  data_dir/MT_Crack/Imgs/*.jpg, each with a mask *.png of the same name

It has no official split: a share of the normal images is for training. And MVTec AD's
(`data_dir/train/good` and so on), which is already split.
"""

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

  HOMEPAGE = 'https://github.com/abin24/Magnetic-tile-defect-datasets.'
  LICENSE = 'cite the paper'
  CITATION = (
    'Y. Huang, C. Qiu, K. Yuan: Surface defect saliency of magnetic tile. '
    'The Visual Computer 36, 2020.'
  )

  def list_examples(self) -> Examples:
    """Takes a share of the normal images for training; the rest and all defects are for testing."""
    root = require_folder(self.source, LAYOUT)
    if (root / 'train').is_dir():
      return list_tree(root)

    def examples(kind: str, label: int) -> list[Example]:
      folder = root / f'MT_{kind}' / 'Imgs'
      images = [path for path in image_files(folder) if path.suffix.lower() != '.png']
      defect = NORMAL_TYPE if label == NORMAL else kind.lower()
      return [
        Example(
          path.relative_to(root).as_posix(),
          label,
          defect,
          path,
          path.with_suffix('.png') if label and path.with_suffix('.png').is_file() else None,
        )
        for path in images
      ]

    normal = examples('Free', NORMAL)
    if not normal:
      raise InputError(f'no images in {root / "MT_Free" / "Imgs"}; expected {LAYOUT}')
    anomalous = [e for kind in DEFECTS for e in examples(kind, ANOMALOUS)]
    return Examples(normal, anomalous, train_share=self.settings.train_share)
