"""MVTec AD (Bergmann et al., CVPR 2019), or any folder in the same layout.

data_dir/bottle/train/good/000.png
data_dir/bottle/test/good/000.png
data_dir/bottle/test/broken_large/000.png
data_dir/bottle/ground_truth/broken_large/000_mask.png    (optional)

https://www.mvtec.com/company/research/datasets/mvtec-ad, licence CC BY-NC-SA 4.0.
"""

from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.examples import (
  NORMAL_TYPE,
  Example,
  Examples,
  examples_in,
  folders_there,
  image_files,
  images_directly_in,
  name_some,
  names_in,
  require_category,
  require_folder,
  subfolders,
)
from ocrgan_jax.data.masks import is_mask_folder, with_masks

TREE = 'train/good/*.png, test/good/*.png and test/<defect>/*.png'
LAYOUT = f'<data_dir>/<category>/ with {TREE}'


class MvtecAd(AnomalyDataset):
  """MVTec AD: 15 categories of objects and textures, with masks of the defects."""

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
  """Lists a folder with `train`, `test` and optionally `ground_truth`.

  Takes `train/good` and all of `test`; every test folder except `good` is anomalous.

  Raises:
    InputError: if `train/good` contains no images.
  """
  sound = root / 'train' / NORMAL_TYPE
  train, warnings = examples_in(sound, root)
  if not train:
    others = '' if sound.is_dir() else folders_there(root / 'train')
    where = f'no images in {sound}{others}'
    raise InputError('; '.join([where, *warnings, f'expected {TREE} in {root}']))
  test, told = list_by_folder(root / 'test', root)
  test, told_of_masks = with_masks(test, root / 'test')
  warnings += told + told_of_masks
  for folder in (root, root / 'train', root / 'test'):
    if strays := images_directly_in(folder):
      where = f'directly in {folder} left out (move them into a folder)'
      warnings.append(name_some('image', names_in(folder, strays), where))
  for folder in subfolders(root / 'train'):
    if folder != sound and (strays := image_files(folder)):
      where = f'in {folder} left out (training takes those in {sound} alone)'
      warnings.append(name_some('image', names_in(folder, strays), where))
  return Examples(train, test, tuple(warnings))


def list_by_folder(test: Path, root: Path) -> tuple[list[Example], list[str]]:
  """The images in the subfolders of `test`, labelled by these, and warnings.

  Names are relative to `root`.
  """
  examples: list[Example] = []
  warnings: list[str] = []
  for folder in subfolders(test):
    if not is_mask_folder(folder):
      found, told = examples_in(folder, root)
      examples += found
      warnings += told
  return examples, warnings
