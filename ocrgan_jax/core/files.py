"""Reads files with retries, and writes files atomically."""

import errno
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ocrgan_jax.core.errors import InputError

# Errors that pass by themselves, unlike a missing file or missing permission.
TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENETDOWN)
RETRY_PAUSES = (0.2, 1.0, 5.0)  # before each retry; seconds

MARK = '.ocrgan_output'  # in a folder with pictures that a command wrote
MARKED = 'ocrgan_jax wrote these pictures; its commands do not take them for photographs:'
MAPS = '_maps'  # ends the name of a folder of `ocrgan predict --maps`


def read_file(path: Path) -> bytes:
  """Reads a file. Retries transient disk errors, with a warning on stderr.

  Raises:
    OSError: if the error is permanent, or the last retry fails.
  """
  path = user_path(path)
  for pause in RETRY_PAUSES:
    try:
      return path.read_bytes()
    except OSError as error:
      if error.errno not in TRANSIENT:
        raise
      print(f'warning: {path}: {error.strerror}; retrying in {pause} s', file=sys.stderr)
    time.sleep(pause)
  return path.read_bytes()


def user_path(path: str | Path) -> Path:
  """A path as a user gives it, its leading `~` or `~name` replaced by the home folder.

  A `~name` without such a user stays as it is.
  """
  return Path(os.path.expanduser(path))


def absolute(path: str) -> str:
  """Makes a path from the config absolute; '' stays ''."""
  return str(user_path(path).absolute()) if path else ''


def check_writable(path: Path, flag: str) -> None:
  """Checks, before long work, that its output file can be written. Creates nothing.

  Args:
    path: the output file.
    flag: the flag that sets it, for the message.

  Raises:
    InputError: if the path is a folder, or its folder cannot be created or written to.
  """
  why = ''
  try:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
      why = 'it is a folder'
    elif not folder.is_dir():
      why = f'{folder} is not a folder'
    elif path.exists() and not os.access(path, os.W_OK):
      why = 'it is not writable'
    elif not os.access(folder, os.W_OK | os.X_OK):
      why = f'{folder} is not writable'
  except OSError as error:  # e.g. the name is too long
    why = error.strerror or str(error)
  if why:
    raise InputError(f'cannot write {path}: {why}; choose another {flag}')


def write_bytes(path: Path, content: bytes) -> None:
  """Writes a file atomically, and creates its folders.

  Raises:
    InputError: if it cannot be written.
  """
  partial = path.with_name(f'.{path.name}.partial')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
    os.replace(partial, path)
  except OSError as error:
    partial.unlink(missing_ok=True)
    raise InputError(f'cannot write {path}: {error}; choose another folder') from None


def write_text(path: Path, text: str) -> None:
  """Writes a text file atomically."""
  write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
  """Writes a JSON file atomically."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def write_jpeg(path: Path, image: np.ndarray) -> None:
  """Writes a uint8 image [height, width, 3] as a JPEG, atomically."""
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=92)
  write_bytes(path, file.getvalue())


def mark_output(folder: Path, *names: str) -> None:
  """Marks the named pictures, or the whole folder, so that no command takes them as input."""
  mark = folder / MARK
  before = mark.read_text(errors='surrogateescape').splitlines()[1:] if mark.exists() else None
  whole = before == [] or not names
  lines = [] if whole else sorted({*(before or ()), *names})
  if before is None or lines != before:
    text = '\n'.join([MARKED, *lines]) + '\n'
    write_bytes(mark, text.encode(errors='surrogateescape'))


def is_output(folder: Path) -> bool:
  """Whether all of a folder was written by a command: pictures, or a run."""
  if (folder / 'config.json').is_file() and (folder / 'checkpoints').is_dir():
    return True
  # Earlier versions left no mark.
  if folder.name.endswith(MAPS) and (folder / 'index.html').is_file():
    return True
  return (folder / MARK).is_file() and not written_pictures(folder)


def written_pictures(folder: Path) -> set[str]:
  """The names of the pictures in a folder that a command wrote beside other files."""
  try:
    return set((folder / MARK).read_text(errors='surrogateescape').splitlines()[1:])
  except OSError:
    return set()
