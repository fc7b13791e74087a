"""Lists of labelled images: the common format of all datasets."""

import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import is_output, read_file, written_pictures

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

NORMAL, ANOMALOUS = 0, 1
UNLABELLED = -1  # a test image without a label
NAMED = 3  # number of files that a message names
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


class Found(NamedTuple):
  """What a folder means: the image files in it, and what is left out.

  Attributes:
    images: visible image files, by extension, sorted.
    others: other visible files, sorted.
    written: folders and pictures that a command wrote (see `core.files.is_output`), sorted.
    above: links to a folder that holds the folder itself, sorted.
  """

  images: list[Path]
  others: list[Path]
  written: list[Path]
  above: list[Path]


def look_into(folder: Path, *, nested: bool = True, without: Path | None = None) -> Found:
  """Finds the files that a folder means, by the one rule of all commands.

  It looks into subfolders and linked folders. A folder that is reached twice is entered once, by
  its own path rather than by a link. Hidden files and folders do not count, nor does what a command
  of this package wrote, unless that is the folder itself: then all in it counts.

  Args:
    folder: where to look; a missing one is empty.
    nested: whether to look into subfolders.
    without: a folder to leave out, if any.

  Returns:
    The files.

  Raises:
    InputError: if a folder cannot be read.
  """
  found = Found([], [], [], [])
  takes_written = is_output(folder)
  entered = {os.path.realpath(without)} if without else set()
  # Links wait until all that can be reached without them is entered. `holders` are the real paths
  # of the folders from which links were followed.
  waiting: list[tuple[Path, tuple[Path, ...]]] = [(folder, ())]
  while waiting:
    start, holders = waiting.pop(0)
    here = Path(os.path.realpath(start))
    if str(here) in entered:
      continue
    if any(here in holder.parents for holder in holders):
      found.above.append(start)
      continue
    for at, folders, files in os.walk(start, onerror=_refuse_unreadable):
      parent = Path(at)
      entered.add(os.path.realpath(at))
      inside = []
      for name in sorted(folders):
        path = parent / name
        if name.startswith('.') or not nested:
          continue
        if is_output(path) and not takes_written:
          found.written.append(path)
        elif path.is_symlink():
          waiting.append((path, (*holders, Path(os.path.realpath(parent)))))
        elif os.path.realpath(path) not in entered:
          inside.append(name)
      folders[:] = inside
      pictures = set() if takes_written else written_pictures(parent)
      for name in files:
        path = parent / name
        if name.startswith('.'):
          continue
        if name in pictures:
          found.written.append(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES and (path.is_file() or path.is_symlink()):
          found.images.append(path)
        else:
          found.others.append(path)
  return Found(*map(sorted, found))


def _refuse_unreadable(error: OSError) -> None:
  if not isinstance(error, FileNotFoundError | NotADirectoryError):
    raise InputError(
      f'cannot look into the folder {error.filename}: {error.strerror}; make it readable, or move '
      'it away'
    )


def is_written(path: Path, top: Path | None = None) -> bool:
  """Whether a command of this package wrote a file or folder.

  Args:
    path: of the file or folder.
    top: only what lies below this folder is asked; by default all folders that hold `path`.
  """
  if path.is_dir() and is_output(path):
    return True
  if path.name in written_pictures(path.parent):
    return True
  holders = path.absolute().parents
  stop = holders.index(top.absolute()) if top and top.absolute() in holders else len(holders)
  return any(is_output(folder) for folder in holders[:stop])


def unique(paths: Iterable[Path]) -> list[Path]:
  """The paths in order, each file of a folder once, by whatever path the folder was reached."""
  real = functools.cache(os.path.realpath)
  found: dict[tuple[str, str], Path] = {}
  for path in paths:
    found.setdefault((real(path.parent), path.name), path)
  return list(found.values())


def image_files(folder: Path) -> list[Path]:
  """The image files that a folder means, sorted; see `look_into`. Empty if it is missing."""
  return look_into(folder).images


def images_directly_in(folder: Path) -> list[Path]:
  """The image files of a folder without its subfolders, for datasets of a fixed layout."""
  return look_into(folder, nested=False).images


def subfolders(folder: Path) -> list[Path]:
  """The visible folders in a folder that no command wrote, sorted; none if it is missing."""
  if not folder.is_dir():
    return []
  visible = (path for path in folder.iterdir() if not path.name.startswith('.'))
  return sorted(path for path in visible if path.is_dir() and not is_output(path))


def left_out(folder: Path, found: Found) -> list[str]:
  """One line for each kind of thing that was left out of a folder."""
  reasons = (
    (found.others, 'file(s)', 'not an image by extension', ''),
    (
      found.written,
      'folder(s) or picture(s)',
      'written by ocrgan',
      '; name one itself to take it all the same',
    ),
    (found.above, 'link(s)', f'to a folder that holds {folder}', ''),
  )
  return [
    f'{len(paths)} {noun} in {folder} left out, {reason}: {name_some(folder, paths)}{advice}'
    for paths, noun, reason, advice in reasons
    if paths
  ]


def folders_there(folder: Path) -> str:
  """For a message that something is missing in a folder: the folders that it holds, or ''."""
  names = [path.name for path in subfolders(folder)]
  return f' (there are folders {", ".join(names)})' if names else ''


def no_sound_folder(kinds: Iterable[str]) -> str:
  """Why no test image is labelled normal, for a message.

  Args:
    kinds: the defect types of the test images.
  """
  there = ', '.join(sorted({*kinds}))
  return f'no folder of sound parts is called {NORMAL_TYPE}; there are {there}'


def name_some(folder: Path, paths: Sequence[Path]) -> str:
  """Names up to three paths, relative to their folder."""
  names = [path.relative_to(folder).as_posix() for path in paths[:NAMED]]
  return ', '.join(names) + (' …' if len(paths) > NAMED else '')


def folder_label(name: str) -> tuple[int, str]:
  """The label and defect type of a folder's images. `good`, in any letter case, is normal."""
  return (NORMAL, NORMAL_TYPE) if name.lower() == NORMAL_TYPE else (ANOMALOUS, name)


def holds_images(data_dir: str) -> bool:
  """Whether there is an image anywhere below a folder."""
  return bool(image_files(Path(data_dir)))


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
