"""Lists of labelled images: the common format of all datasets."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import read_file

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

NORMAL, ANOMALOUS = 0, 1
UNLABELLED = -1  # a test image without a label
NORMAL_TYPE = 'good'


class Example(NamedTuple):
  """One image of a dataset.

  Attributes:
    name: path relative to the dataset's folder, for tables and messages.
    label: NORMAL (0), ANOMALOUS (1) or UNLABELLED (-1).
    defect_type: 'good' for normal images.
    path: the image file, or the archive that contains the image.
    mask: the mask file (non-zero where defective), if any.
    content: the encoded image, unless it has its own file.
  """

  name: str
  label: int
  defect_type: str
  path: Path
  mask: Path | None = None
  content: bytes | None = None

  def read(self) -> bytes:
    """The encoded image."""
    return read_file(self.path) if self.content is None else self.content


class Examples(NamedTuple):
  """The two splits of a dataset.

  Attributes:
    train: normal examples only.
    test: any examples; may be empty.
    warnings: one line per problem that the user should know about.
    train_share: for a dataset without an official split, the share of the normal images in
      `train` that stays there. The others are moved to `test`, by group.
  """

  train: list[Example]
  test: list[Example]
  warnings: tuple[str, ...] = ()
  train_share: float | None = None


def image_files(folder: Path) -> list[Path]:
  """The image files directly in a folder, sorted; empty if the folder is missing."""
  if not folder.is_dir():
    return []
  return sorted(
    path
    for path in folder.iterdir()
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')
  )


def other_files(folder: Path) -> list[str]:
  """The names of visible non-image files directly in a folder, sorted."""
  if not folder.is_dir():
    return []
  images = set(image_files(folder))
  return sorted(
    path.name
    for path in folder.iterdir()
    if path not in images and not path.is_dir() and not path.name.startswith('.')
  )


def other_file_warnings(folders: Sequence[Path]) -> list[str]:
  """One warning per image folder that contains other files."""
  named = [(folder, other_files(folder)) for folder in folders]
  return [
    f'{len(names)} file(s) in {folder} left out, not an image by extension: '
    + ', '.join(names[:3])
    + (' …' if len(names) > 3 else '')
    for folder, names in named
    if names
  ]


def kinds_in(folder: Path) -> list[Path]:
  """The folders in a folder, sorted; empty if it is missing."""
  return sorted(path for path in folder.glob('*') if path.is_dir())


def folders_there(folder: Path) -> str:
  """For a message that something is missing in a folder: the folders that it holds, or ''."""
  names = [path.name for path in kinds_in(folder)]
  return f' (there are folders {", ".join(names)})' if names else ''


def no_sound_folder(kinds: Iterable[str]) -> str:
  """Why no test image is labelled normal, for a message.

  Args:
    kinds: the defect types of the test images.
  """
  there = ', '.join(sorted({*kinds}))
  return f'no folder of sound parts is called {NORMAL_TYPE}; there are {there}'


def folder_label(folder: Path) -> tuple[int, str]:
  """The label and defect type of a folder's images. `good`, in any letter case, is normal."""
  if folder.name.lower() == NORMAL_TYPE:
    return NORMAL, NORMAL_TYPE
  return ANOMALOUS, folder.name


def holds_images(data_dir: str) -> bool:
  """Whether there is an image anywhere below a folder."""
  return any(path.suffix.lower() in IMAGE_SUFFIXES for path in Path(data_dir).rglob('*'))


def require_folder(data_dir: str, layout: str, *, or_file: bool = False) -> Path:
  """Checks that the data folder exists.

  Args:
    data_dir: the config's field.
    layout: the expected content, for the message.
    or_file: whether to accept a file (an archive), too.

  Returns:
    The path.

  Raises:
    InputError: if `data_dir` is empty or does not exist.
  """
  if not data_dir:
    raise InputError(f'no data folder given: pass --config.data_dir=…; expected {layout}')
  if not Path(data_dir).is_dir() and not (or_file and Path(data_dir).is_file()):
    raise InputError(f'no such data folder: {data_dir}; expected {layout}')
  return Path(data_dir)


def require_category(root: Path, name: str, existing: list[str], layout: str) -> Path:
  """Checks that the folder of a category exists.

  Args:
    root: the data folder.
    name: the category.
    existing: the existing categories, for the message.
    layout: the expected content of `root`, for the message.

  Returns:
    The path of the category's folder.

  Raises:
    InputError: if there is no such folder.
  """
  if not name or not (root / name).is_dir():
    hint = f'there are {", ".join(sorted(existing))}' if existing else f'expected {layout}'
    raise InputError(f'no {name!r} in {root}; {hint}')
  return root / name
