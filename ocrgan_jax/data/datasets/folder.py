"""The user's own images: a folder in MVTec AD's layout, or a plain folder of normal images.

data_dir/*.jpg                        all normal
test_dir/*.jpg                        optional, unlabelled: scored, but no AUROC
test_dir/good/*.jpg, test_dir/<defect>/*.jpg    optional, labelled by folder
ground_truth/<defect>/*.png           optional masks, beside test_dir or in it
"""

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.datasets.mvtec_ad import TREE, list_tree
from ocrgan_jax.data.examples import (
  NORMAL,
  NORMAL_TYPE,
  UNLABELLED,
  Example,
  Examples,
  folder_label,
  folders_there,
  image_files,
  kinds_in,
  other_file_warnings,
  require_folder,
)
from ocrgan_jax.data.mask_files import is_mask_folder, with_masks

LAYOUT = f'a folder of normal images, or one with {TREE}'


class Folder(AnomalyDataset):
  """The user's own images."""

  LICENSE = "the user's own"

  def list_examples(self) -> Examples:
    """Lists a tree in MVTec AD's layout if there is one, else the images in the folder."""
    root = require_folder(self.source, LAYOUT)
    test_dir = self.settings.test_dir
    if (root / 'train').is_dir():
      tree = list_tree(root)
      if not test_dir:
        return tree
      test, warnings = _list_test(test_dir)
      return tree._replace(test=test, warnings=(*tree.warnings, *warnings))
    train = [Example(p.name, NORMAL, NORMAL_TYPE, p) for p in image_files(root)]
    if not train:
      raise InputError(f'no images in {root}{folders_there(root)}; expected {LAYOUT}')
    test, warnings = _list_test(test_dir)
    return Examples(train, test, (*other_file_warnings([root]), *warnings))


class TestImages(Folder):
  """The test images alone, for a run whose training images are elsewhere."""

  NEEDS_TRAINING = False

  def list_examples(self) -> Examples:
    """Lists `data.test_dir`."""
    test, warnings = _list_test(self.settings.test_dir)
    return Examples([], test, tuple(warnings))


def _list_test(test_dir: str) -> tuple[list[Example], list[str]]:
  """Lists a folder of test images with their masks; returns warnings, too."""
  if not test_dir:
    return [], []
  root = require_folder(test_dir, 'a folder of test images')
  test = [Example(p.name, UNLABELLED, 'unlabelled', p) for p in image_files(root)]
  for folder in (path for path in kinds_in(root) if not is_mask_folder(path)):
    label, kind = folder_label(folder)
    test += [Example(f'{folder.name}/{p.name}', label, kind, p) for p in image_files(folder)]
  if not test:
    raise InputError(f'no images in data.test_dir = {root}{folders_there(root)}')
  return with_masks(test, root)
