"""Finds the masks of test images: `ground_truth/<defect>/<name>_mask.png` or `<name>.png`.

The folder `ground_truth` lies beside the folder of test images or in it. Any kind of image file is
a mask; upper and lower case are the same in `_mask` and in the extension.
"""

from collections.abc import Sequence
from pathlib import Path

from ocrgan_jax.data.examples import Example, look_into, name_some

MASKS = 'ground_truth'
ENDING = '_mask'


def is_mask_folder(folder: Path) -> bool:
  """Whether a folder among those of the test images holds masks, and no kind of defect."""
  return folder.name.lower() == MASKS


def with_masks(examples: Sequence[Example], test: Path) -> tuple[list[Example], list[str]]:
  """Adds the masks to test images.

  Args:
    examples: the test images, each in its file.
    test: the folder that holds the folders of the test images.

  Returns:
    The images with their masks, and a warning for each kind of file that is left out.
  """
  folders = [path for at in (test, test.parent) for path in _mask_folders(at)]
  if not folders:
    return [*examples], []
  root = folders[0]
  images, others = look_into(root)[:2]
  # By folder and name of the test image. Later entries win: `_mask`, and PNG among others.
  masks: dict[tuple[Path, str], Path] = {}
  order = lambda path: (_is_marked(path), path.suffix.lower() == '.png')
  for path in sorted(images, key=order):
    stem = path.stem[: -len(ENDING)] if _is_marked(path) else path.stem
    masks[path.parent.relative_to(root), stem] = path
  found = [
    example._replace(mask=masks.get((example.path.parent.relative_to(test), example.path.stem)))
    for example in examples
  ]
  used = {example.mask for example in found}
  left_out = {
    'without a test image of its name': [path for path in images if path not in used],
    'not an image by extension': others,
  }
  return found, [
    f'{len(paths)} mask{"s" * (len(paths) > 1)} left out, {reason}: {name_some(root.parent, paths)}'
    for reason, paths in left_out.items()
    if paths
  ]


def _is_marked(mask: Path) -> bool:
  return mask.stem.lower().endswith(ENDING)


def _mask_folders(folder: Path) -> list[Path]:
  return [path for path in sorted(folder.glob('*')) if path.is_dir() and is_mask_folder(path)]
