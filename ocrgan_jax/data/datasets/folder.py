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
from ocrgan_jax.data.datasets.mvtec_ad import TREE, list_tree
from ocrgan_jax.data.examples import (
  NORMAL,
  NORMAL_TYPE,
  UNLABELLED,
  Example,
  Examples,
  folder_label,
  folders_there,
  left_out,
  look_into,
  name_some,
  require_folder,
  subfolders,
)
from ocrgan_jax.data.mask_files import is_mask_folder, with_masks

LAYOUT = f'a folder of normal images, or one with {TREE}'

NOT_SOUND = ('test', 'ground_truth')  # subfolders of a plain folder that are left out


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
    train, told = _list_sound(root, Path(test_dir) if test_dir else None)
    test, warnings = _list_test(test_dir)
    return Examples(train, test, (*told, *warnings))


class TestImages(Folder):
  """The test images alone, for a run whose training images are elsewhere."""

  NEEDS_TRAINING = False

  def list_examples(self) -> Examples:
    """Lists `data.test_dir`."""
    test, warnings = _list_test(self.settings.test_dir)
    return Examples([], test, tuple(warnings))


def _list_sound(root: Path, test_dir: Path | None) -> tuple[list[Example], list[str]]:
  """The images of a plain folder, all normal, and warnings."""
  same = test_dir is not None and os.path.realpath(test_dir) == os.path.realpath(root)
  found = look_into(root, without=None if same else test_dir)
  warnings = left_out(root, found)
  names = {path: path.relative_to(root) for path in found.images}
  kept = [path for path in found.images if not {*NOT_SOUND} & {*names[path].parts[:-1]}]
  if not kept:
    raise InputError(
      '; '.join([f'no images in {root}{folders_there(root)}', *warnings, f'expected {LAYOUT}'])
    )
  if len(kept) < len(names):
    others = sorted(names.keys() - {*kept})
    warnings.append(
      f'{len(others)} image(s) in {root} left out, in a folder called {" or ".join(NOT_SOUND)}: '
      + name_some(root, others)
    )
  if nested := [path for path in kept if path.parent != root]:
    folders = sorted({root / names[path].parts[0] for path in nested})
    warnings.append(
      f'{len(nested)} of {len(kept)} photographs are in subfolders of {root} and count as sound, '
      f'too: {name_some(root, folders)}; move defective ones out'
    )
  return [Example(names[p].as_posix(), NORMAL, NORMAL_TYPE, p) for p in kept], warnings


def _list_test(test_dir: str) -> tuple[list[Example], list[str]]:
  """The images of a folder to test, labelled by its subfolders, with their masks, and warnings."""
  if not test_dir:
    return [], []
  root = require_folder(test_dir, 'a folder of test images')
  direct = look_into(root, nested=False)
  warnings = left_out(root, direct)
  test = [Example(p.name, UNLABELLED, 'unlabelled', p) for p in direct.images]
  for folder in (path for path in subfolders(root) if not is_mask_folder(path)):
    found = look_into(folder)
    warnings += left_out(folder, found)
    label, kind = folder_label(folder.name)
    test += [Example(p.relative_to(root).as_posix(), label, kind, p) for p in found.images]
  if not test:
    where = f'no images in data.test_dir = {root}{folders_there(root)}'
    raise InputError('; '.join([where, *warnings]))
  with_their_masks, mask_warnings = with_masks(test, root)
  return with_their_masks, [*warnings, *mask_warnings]
