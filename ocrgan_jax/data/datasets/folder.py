"""The user's own images: a folder in MVTec AD's layout, or a plain folder of normal images.

data_dir/*.jpg                        all normal
test_dir/*.jpg                        optional, unlabelled: scored, but no AUROC
test_dir/good/*.jpg, test_dir/<defect>/*.jpg    optional, labelled by folder
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
  image_files,
  other_file_warnings,
  require_folder,
)

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
      return tree._replace(test=_list_test(test_dir)) if test_dir else tree
    train = [Example(p.name, NORMAL, NORMAL_TYPE, p) for p in image_files(root)]
    if not train:
      raise InputError(f'no images in {root}; expected {LAYOUT}')
    return Examples(train, _list_test(test_dir), tuple(other_file_warnings([root])))


def _list_test(test_dir: str) -> list[Example]:
  if not test_dir:
    return []
  root = require_folder(test_dir, 'a folder of test images')
  test = [Example(p.name, UNLABELLED, 'unlabelled', p) for p in image_files(root)]
  for folder in sorted(path for path in root.iterdir() if path.is_dir()):
    label, kind = folder_label(folder)
    test += [Example(f'{folder.name}/{p.name}', label, kind, p) for p in image_files(folder)]
  if not test:
    raise InputError(f'no images in data.test_dir = {root}')
  return test
