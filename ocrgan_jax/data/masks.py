"""The masks of test images: `ground_truth/<defect>/<name>_mask.png` or `<name>.png`.

The folder `ground_truth` lies beside the folder of test images or in it. Any kind of image file is
a mask; upper and lower case are the same in `_mask` and in the extension.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.decoding import decode_mask
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, Example, look_into, name_some, names_in

MASKS = 'ground_truth'
ENDING = '_mask'


def is_mask_folder(folder: Path) -> bool:
  """Whether a folder among those of the test images holds masks, and no kind of defect."""
  return folder.name.lower() == MASKS


def with_masks(examples: Sequence[Example], test: Path) -> tuple[list[Example], list[str]]:
  """Adds their masks to test images, whose folders lie in `test`.

  Returns:
    The images, and a warning for each kind of file that is left out.
  """
  beside = [path for at in (test, test.parent) for path in sorted(at.glob('*'))]
  folders = [path for path in beside if path.is_dir() and is_mask_folder(path)]
  if not folders:
    return [*examples], []
  root = folders[0]
  found = look_into(root)
  # By folder and name of the test image. Later entries win: `_mask`, and PNG among others.
  masks: dict[tuple[Path, str], Path] = {}
  marked = lambda path: path.stem.lower().endswith(ENDING)
  for path in sorted(found.images, key=lambda path: (marked(path), path.suffix.lower() == '.png')):
    stem = path.stem[: -len(ENDING)] if marked(path) else path.stem
    masks[path.parent.relative_to(root), stem] = path
  masked = [
    example._replace(mask=masks.get((example.path.parent.relative_to(test), example.path.stem)))
    for example in examples
  ]
  used = {example.mask for example in masked}
  reasons = (
    ([path for path in found.images if path not in used], 'without a test image of its name'),
    (found.others, 'not an image by extension'),
  )
  return masked, [
    name_some('mask', names_in(root.parent, paths), f'left out, {reason}')
    for paths, reason in reasons
    if paths
  ]


def load_masks(test: Split, size: int) -> dict[int, np.ndarray]:
  """Loads the masks of the test images, for pixel metrics.

  Leaves out anomalous images without a mask, and those whose mask is empty after resizing to
  `size` pixels; the latter with a warning.

  Returns:
    Index of the image → bool [size, size], all False for normal images.
  """
  masks = {}
  for i, label in enumerate(test.labels):
    if label == NORMAL:
      masks[i] = np.zeros((size, size), bool)
    elif label == ANOMALOUS and (content := test.records[i]['mask']):
      mask = decode_mask(content, size)
      if mask.any():
        masks[i] = mask
      else:
        print(
          f'warning: the mask of {test.names[i]} has no defective pixel at {size}x{size}: '
          'it is ignored for pixel metrics',
          file=sys.stderr,
        )
  return masks
