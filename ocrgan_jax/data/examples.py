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
  """One image of a dataset."""

  name: str  # path relative to the dataset's folder, for tables and messages
  label: int  # NORMAL, ANOMALOUS or UNLABELLED
  defect_type: str  # 'good' for normal images
  path: Path  # the image file, or the archive that contains the image
  mask: Path | None = None  # file, not 0 where defective
  content: bytes | None = None  # the encoded image, unless it has its own file

  def read(self) -> bytes:
    """The encoded image."""
    return read_file(self.path) if self.content is None else self.content


class Examples(NamedTuple):
  """The two splits of a dataset."""

  train: list[Example]  # normal ones only
  test: list[Example]  # any; may be empty
  warnings: tuple[str, ...] = ()  # one line per problem that the user should know about
  # Without an official split: the share of `train` that stays there; the rest, by whole groups,
  # moves to `test`.
  train_share: float | None = None


class Found(NamedTuple):
  """What a folder means: the image files in it, and what is left out; each sorted."""

  images: list[Path]  # visible files with an image's extension
  others: list[Path]  # other visible files
  written: list[Path]  # folders and pictures that a command wrote; see `core.files.is_output`
  above: list[Path]  # links to a folder that holds the folder itself


def look_into(folder: Path, *, nested: bool = True, without: Path | None = None) -> Found:
  """Finds the files that a folder means, by the one rule of all commands.

  It looks into subfolders and linked folders. A folder that is reached twice is entered once, by
  its own path rather than by a link. Hidden files and folders do not count, nor does what a command
  of this package wrote, unless that is the folder itself: then all in it counts.

  Args:
    folder: where to look; a missing one is empty.
    nested: whether to look into subfolders.
    without: a folder to leave out, if any.

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
      parent, inside = Path(at), []
      entered.add(os.path.realpath(parent))
      for name in sorted(folders) if nested else ():
        path = parent / name
        if name.startswith('.'):
          continue
        if is_output(path) and not takes_written:
          found.written.append(path)
        elif path.is_symlink():
          waiting.append((path, (*holders, Path(os.path.realpath(parent)))))
        elif os.path.realpath(path) not in entered:
          inside.append(name)
      folders[:] = inside
      _sort_files(found, parent, files, set() if takes_written else written_pictures(parent))
  return Found(*map(sorted, found))


def _sort_files(found: Found, parent: Path, names: list[str], written: set[str]) -> None:
  """Adds the visible files of a folder to what was found."""
  for path in (parent / name for name in names if not name.startswith('.')):
    if path.name in written:
      found.written.append(path)
    elif path.suffix.lower() in IMAGE_SUFFIXES and (path.is_file() or path.is_symlink()):
      found.images.append(path)
    else:
      found.others.append(path)


def _refuse_unreadable(error: OSError) -> None:
  if not isinstance(error, FileNotFoundError | NotADirectoryError):
    raise InputError(
      f'cannot look into the folder {error.filename}: {error.strerror}; make it readable, or move '
      'it away'
    )


def is_written(path: Path, top: Path | None = None) -> bool:
  """Whether a command of this package wrote a file or folder, or below `top` one that holds it."""
  if (path.is_dir() and is_output(path)) or path.name in written_pictures(path.parent):
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


def holds_images(data_dir: str) -> bool:
  """Whether there is an image anywhere below a folder."""
  return bool(image_files(Path(data_dir)))


def subfolders(folder: Path) -> list[Path]:
  """The visible folders in a folder that no command wrote, sorted; none if it is missing."""
  if not folder.is_dir():
    return []
  visible = (path for path in folder.iterdir() if not path.name.startswith('.'))
  return sorted(path for path in visible if path.is_dir() and not is_output(path))


def ignored_lines(folder: Path, found: Found) -> list[str]:
  """One line for each kind of thing that was left out of a folder."""
  reasons = (
    (found.others, 'file', 'not an image by extension'),
    (found.written, 'result', 'written by ocrgan (name one itself to take it all the same)'),
    (found.above, 'link', f'to a folder that holds {folder}'),
  )
  return [
    name_some(noun, names_in(folder, paths), f'in {folder} left out, {reason}')
    for paths, noun, reason in reasons
    if paths
  ]


def names_in(folder: Path, paths: Iterable[Path]) -> list[str]:
  """Paths relative to their folder."""
  return [path.relative_to(folder).as_posix() for path in paths]


def name_some(noun: str, names: Sequence[str], what: str = '') -> str:
  """Counts and names things in a message: '4 masks left out: a.png, b.png, c.png and 1 more'."""
  count = f'{len(names)} {noun}' + ('s' if len(names) != 1 else '')
  more = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
  return f'{count} {what}'.rstrip() + f': {", ".join(names[:NAMED])}{more}'


def folders_there(folder: Path) -> str:
  """For a message that something is missing in a folder: the folders that it holds, or ''."""
  names = [path.name for path in subfolders(folder)]
  return f' (there are folders {", ".join(names)})' if names else ''


def no_sound_folder(kinds: Iterable[str]) -> str:
  """For a message: why no test image is labelled normal, given their defect types."""
  there = ', '.join(sorted({*kinds}))
  return f'no folder of sound parts is called {NORMAL_TYPE}; there are {there}'


def examples_in(folder: Path, root: Path) -> tuple[list[Example], list[str]]:
  """The images of a folder below `root`, and warnings; normal if it is called `good` or `Good`."""
  found = look_into(folder)
  label, kind = NORMAL, NORMAL_TYPE
  if folder.name.lower() != NORMAL_TYPE:
    label, kind = ANOMALOUS, folder.name
  images = zip(names_in(root, found.images), found.images, strict=True)
  return [Example(name, label, kind, path) for name, path in images], ignored_lines(folder, found)


def require_folder(data_dir: str, layout: str, *, or_file: bool = False) -> Path:
  """The path of the data folder, or if `or_file` of an archive.

  Raises:
    InputError: if there is none; names the expected layout.
  """
  if not data_dir:
    raise InputError(f'no data folder given: pass --config.data_dir=…; expected {layout}')
  path = Path(data_dir)
  if not path.is_dir() and not (or_file and path.is_file()):
    raise InputError(f'no such data folder: {data_dir}; expected {layout}')
  return path


def require_category(root: Path, name: str, existing: list[str], layout: str) -> Path:
  """The path of a category's folder in the data folder.

  Raises:
    InputError: if there is none; names the existing categories, or the expected layout.
  """
  if not name or not (root / name).is_dir():
    hint = f'there are {", ".join(sorted(existing))}' if existing else f'expected {layout}'
    raise InputError(f'no {name!r} in {root}; {hint}')
  return root / name
