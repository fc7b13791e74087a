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
  images_directly_in,
  left_out,
  look_into,
  name_some,
  require_category,
  require_folder,
  subfolders,
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
  warnings: list[str] = []

  def examples(folder: Path) -> list[Example]:
    found = look_into(folder)
    warnings.extend(left_out(folder, found))
    label, defect_type = folder_label(folder.name)
    return [
      Example(path.relative_to(root).as_posix(), label, defect_type, path) for path in found.images
    ]

  sound = root / 'train' / NORMAL_TYPE
  train = examples(sound)
  if not train:
    others = '' if sound.is_dir() else folders_there(root / 'train')
    where = f'no images in {sound}{others}'
    raise InputError('; '.join([where, *warnings, f'expected {TREE} in {root}']))
  folders = [path for path in subfolders(root / 'test') if not is_mask_folder(path)]
  test, mask_warnings = with_masks(
    [example for folder in folders for example in examples(folder)], root / 'test'
  )
  warnings += mask_warnings
  for folder in (root, root / 'train', root / 'test'):
    if strays := images_directly_in(folder):
      warnings.append(
        f'{len(strays)} image(s) directly in {folder} left out: {name_some(folder, strays)}; move '
        'them into a folder'
      )
  for folder in subfolders(root / 'train'):
    if folder != sound and (strays := image_files(folder)):
      warnings.append(
        f'{len(strays)} image(s) in {folder} left out: {name_some(folder, strays)}; training takes '
        f'those in {sound} alone'
      )
  return Examples(train, test, tuple(warnings))
