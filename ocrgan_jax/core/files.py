"""Reads files from disks that fail now and then, and writes files whole or not at all."""

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

# What goes away by itself; a file that is not there, or may not be read, does not.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENETDOWN)
PAUSES = (0.2, 1.0, 5.0)  # before each further attempt; seconds


def read_file(path: Path) -> bytes:
  """The content of a file, read again where the disk failed for a moment, which is told.

  Raises:
    OSError: if it cannot be read, or not after the last attempt.
  """
  for pause in PAUSES:
    try:
      return path.read_bytes()
    except OSError as error:
      if error.errno not in PASSING:
        raise
      print(f'warning: {path}: {error.strerror}; read again in {pause} s', file=sys.stderr)
    time.sleep(pause)
  return path.read_bytes()


def absolute(path: str) -> str:
  """Makes a path of the config absolute; '' stays ''."""
  return str(Path(path).expanduser().absolute()) if path else ''


def check_writable(path: Path, flag: str) -> None:
  """Checks before long work that a file can be written at its end; creates nothing.

  Args:
    path: of the file.
    flag: by which another can be chosen.

  Raises:
    InputError: if the path is a folder, or its folder cannot be made or written in.
  """
  why = ''
  try:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
      why = 'it is a folder'
    elif not folder.is_dir():
      why = f'{folder} is no folder'
    elif path.exists() and not os.access(path, os.W_OK):
      why = 'it cannot be written to'
    elif not os.access(folder, os.W_OK | os.X_OK):
      why = f'{folder} cannot be written in'
  except OSError as error:  # a name that is too long
    why = error.strerror or str(error)
  if why:
    raise InputError(f'cannot write {path}: {why}; choose another {flag}')


def write_bytes(path: Path, content: bytes) -> None:
  """Writes a file whole or not at all, and creates its folders.

  Raises:
    InputError: if it cannot be written there.
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
  """Writes a text file whole or not at all."""
  write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
  """Writes a JSON file whole or not at all."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def write_jpeg(path: Path, image: np.ndarray) -> None:
  """Writes a uint8 image [height, width, 3] as a JPEG, whole or not at all."""
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=92)
  write_bytes(path, file.getvalue())
