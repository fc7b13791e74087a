"""MVTec AD (Bergmann et al., CVPR 2019), CC BY-NC-SA 4.0, and anything in its layout.

  data_dir/bottle/train/good/000.png
  data_dir/bottle/test/good/000.png
  data_dir/bottle/test/broken_large/000.png

Masks (`ground_truth`) are not needed here.
"""

from pathlib import Path

from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, NORMAL_TYPE, Dataset, Example, image_files
from ocrgan_jax.errors import InputError

LAYOUT = '<data_dir>/<category>/train/good/*.png and <data_dir>/<category>/test/<defect>/*.png'


def read(data_dir: str, category: str) -> Dataset:
  """Lists the images of a category.

  Args:
    data_dir: the folder that holds the categories.
    category: its subfolder, such as 'bottle'.

  Returns:
    `train/good`, and all of `test`, where every folder but `good` is anomalous.

  Raises:
    InputError: if a folder is missing, or has no images.
  """
  if not data_dir:
    raise InputError(f'no data folder given: pass --config.data_dir=…; expected {LAYOUT}')
  root = Path(data_dir)
  if not root.is_dir():
    raise InputError(f'no such data folder: {root}; expected {LAYOUT}')
  if not category or not (root / category).is_dir():
    there = [path.name for path in sorted(root.iterdir()) if (path / 'train').is_dir()]
    hint = f'categories there: {", ".join(there)}' if there else f'expected {LAYOUT}'
    raise InputError(f'no category {category!r} in {root}; {hint}')
  root = root / category

  def examples(folder: Path) -> list[Example]:
    label = NORMAL if folder.name == NORMAL_TYPE else ANOMALOUS
    return [
      Example(path, path.relative_to(root).as_posix(), label, folder.name)
      for path in image_files(folder)
    ]

  train = examples(root / 'train' / NORMAL_TYPE)
  if not train:
    raise InputError(f'no images in {root / "train" / NORMAL_TYPE}; expected {LAYOUT}')
  folders = sorted(path for path in (root / 'test').glob('*') if path.is_dir())
  test = [example for folder in folders for example in examples(folder)]
  if not test:
    raise InputError(f'no images in the folders of {root / "test"}; expected {LAYOUT}')
  return Dataset(train, test)
