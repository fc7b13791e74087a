"""Reads files from disks that fail now and then, as network disks do."""

import errno
import sys
import time
from pathlib import Path

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
