"""MVTec AD (Bergmann et al., CVPR 2019), or any folder in the same layout.

data_dir/bottle/train/good/000.png
data_dir/bottle/test/good/000.png
data_dir/bottle/test/broken_large/000.png
data_dir/bottle/ground_truth/broken_large/000_mask.png    (optional)
"""

from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.examples import (
  NORMAL_TYPE,
  Example,
  Examples,
  folder_label,
  folders_there,
  image_files,
  kinds_in,
  other_file_warnings,
  require_category,
  require_folder,
)
from ocrgan_jax.data.mask_files import is_mask_folder, with_masks

TREE = 'train/good/*.png, test/good/*.png and test/<defect>/*.png'
LAYOUT = f'<data_dir>/<category>/ with {TREE}'


class MvtecAd(AnomalyDataset):
  """MVTec AD: 15 categories of objects and textures, with masks of the defects."""

  HOMEPAGE = 'https://www.mvtec.com/company/research/datasets/mvtec-ad'
  LICENSE = 'CC BY-NC-SA 4.0'
  CITATION = (
    'P. Bergmann, M. Fauser, D. Sattlegger, C. Steger: MVTec AD - A Comprehensive Real-World '
    'Dataset for Unsupervised Anomaly Detection. CVPR 2019.'
  )

  def list_examples(self) -> Examples:
    """Lists `train/good` and all of `test` for the config's category."""
    root = require_folder(self.source, LAYOUT)
    existing = [path.name for path in root.iterdir() if (path / 'train').is_dir()]
    folder = require_category(root, self.settings.category, existing, LAYOUT)
    examples = list_tree(folder)
    if not examples.test:
      raise InputError(f'no images in the folders of {folder / "test"}; expected {LAYOUT}')
    return examples


def list_tree(root: Path) -> Examples:
  """Lists a folder in MVTec AD's layout.

  Args:
    root: the folder with `train`, `test` and optionally `ground_truth`.

  Returns:
    `train/good` and all of `test`; every test folder except `good` is anomalous.

  Raises:
    InputError: if `train/good` contains no images.
  """

  def examples(folder: Path) -> list[Example]:
    label, defect_type = folder_label(folder)
    return [
      Example(path.relative_to(root).as_posix(), label, defect_type, path)
      for path in image_files(folder)
    ]

  train = examples(root / 'train' / NORMAL_TYPE)
  if not train:
    sound = root / 'train' / NORMAL_TYPE
    others = '' if sound.is_dir() else folders_there(root / 'train')
    raise InputError(f'no images in {sound}{others}; expected {TREE} in {root}')
  folders = [path for path in kinds_in(root / 'test') if not is_mask_folder(path)]
  test, mask_warnings = with_masks(
    [example for folder in folders for example in examples(folder)], root / 'test'
  )
  warnings = other_file_warnings([root / 'train' / NORMAL_TYPE, *folders])
  warnings += mask_warnings
  strays = [path.name for path in image_files(root / 'test')]
  if strays:
    warnings.append(
      f'{len(strays)} image(s) directly in {root / "test"} left out: move them into a folder'
    )
  return Examples(train, test, tuple(warnings))
