"""The user's own images: a folder in MVTec AD's layout, or a plain folder of normal images.

data_dir/**/*.jpg                     all normal
test_dir/*.jpg                        optional, unlabelled: scored, but no AUROC
test_dir/good/**/*.jpg, test_dir/<defect>/**/*.jpg    optional, labelled by folder
ground_truth/<defect>/**/*.png        optional masks, beside test_dir or in it
"""

import os
from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.datasets.mvtec_ad import TREE, list_by_folder, list_tree
from ocrgan_jax.data.examples import (
  NORMAL,
  NORMAL_TYPE,
  UNLABELLED,
  Example,
  Examples,
  folders_there,
  ignored_lines,
  look_into,
  name_some,
  names_in,
  require_folder,
)
from ocrgan_jax.data.masks import with_masks

LAYOUT = f'a folder of normal images, or one with {TREE}'

NOT_SOUND = ('test', 'ground_truth')  # subfolders of a plain folder that are left out


class Folder(AnomalyDataset):
  """The user's own images."""

  def list_examples(self) -> Examples:
    """Lists a tree in MVTec AD's layout if there is one, else the images in the folder."""
    root = require_folder(self.source, LAYOUT)
    test_dir = self.settings.test_dir
    if (root / 'train').is_dir():
      listed = list_tree(root)
      if not test_dir:
        return listed
    else:
      listed = _list_sound(root, Path(test_dir) if test_dir else None)
    test, warnings = _list_test(test_dir)
    return listed._replace(test=test, warnings=(*listed.warnings, *warnings))


class TestImages(Folder):
  """The test images alone, for a run whose training images are elsewhere."""

  NEEDS_TRAINING = False

  def list_examples(self) -> Examples:
    """Lists `data.test_dir`."""
    test, warnings = _list_test(self.settings.test_dir)
    return Examples([], test, tuple(warnings))


def _list_sound(root: Path, test_dir: Path | None) -> Examples:
  """The images of a plain folder, all normal."""
  same = test_dir is not None and os.path.realpath(test_dir) == os.path.realpath(root)
  found = look_into(root, without=None if same else test_dir)
  warnings = ignored_lines(root, found)
  names = names_in(root, found.images)
  kept = [name for name in names if not {*NOT_SOUND} & {*Path(name).parts[:-1]}]
  if not kept:
    raise InputError(
      '; '.join([f'no images in {root}{folders_there(root)}', *warnings, f'expected {LAYOUT}'])
    )
  if others := [name for name in names if name not in {*kept}]:
    where = f'in {root} left out, in a folder called {" or ".join(NOT_SOUND)}'
    warnings.append(name_some('image', others, where))
  if nested := [name for name in kept if '/' in name]:
    folders = sorted({name.partition('/')[0] for name in nested})
    what = f'hold {len(nested)} of {len(kept)} photographs, which count as sound, too'
    warnings.append(name_some('subfolder', folders, f'of {root} {what} (move defective ones out)'))
  return Examples([Example(n, NORMAL, NORMAL_TYPE, root / n) for n in kept], [], tuple(warnings))


def _list_test(test_dir: str) -> tuple[list[Example], list[str]]:
  """The images of a folder to test, labelled by its subfolders, with their masks, and warnings."""
  if not test_dir:
    return [], []
  root = require_folder(test_dir, 'a folder of test images')
  direct = look_into(root, nested=False)
  labelled, told = list_by_folder(root, root)
  test = [Example(p.name, UNLABELLED, 'unlabelled', p) for p in direct.images] + labelled
  warnings = ignored_lines(root, direct) + told
  if not test:
    where = f'no images in data.test_dir = {root}{folders_there(root)}'
    raise InputError('; '.join([where, *warnings]))
  masked, told_of_masks = with_masks(test, root)
  return masked, warnings + told_of_masks
