"""A lock file, so that only one process at a time trains a run."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ocrgan_jax.core.errors import InUse

WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # the file system has no locks
LOCK = '.owner'  # in a run's folder during training


@contextlib.contextmanager
def owned(path: Path) -> Iterator[None]:
  """Holds a lock file. The system releases it when the process ends for any reason.

  Args:
    path: the lock file. It and its folder are created, and removed again (the folder only if
      it is empty).

  Raises:
    InUse: if another process, or this one, already holds the lock; names the process, its host
      and the time.
  """
  created = not path.parent.exists()
  file = _lock(path)
  try:
    since = time.strftime('%Y-%m-%d %H:%M:%S')
    owner = {'host': socket.gethostname(), 'process': os.getpid(), 'since': since}
    os.pwrite(file, json.dumps(owner).encode(), 0)
    yield
  finally:
    path.unlink(missing_ok=True)
    os.close(file)
    if created:
      with contextlib.suppress(OSError):
        path.parent.rmdir()


def _lock(path: Path) -> int:
  while True:
    # Other processes may create and remove the same folder and file.
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
      file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
      continue
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      if error.errno in WITHOUT_LOCKS:
        print(
          f'warning: the disk of {path.parent} has no locks: start one process at a time there',
          file=sys.stderr,
        )
        return file
      if not isinstance(error, BlockingIOError):
        raise
      owner = os.pread(file, 1000, 0)
      os.close(file)
      raise InUse(
        f'{path.parent} is in use by {_describe(owner)}; wait until it ends, or use another folder'
      ) from None
    # The owner may have removed the file between our opening and locking it.
    try:
      if os.fstat(file).st_ino == path.stat().st_ino:
        os.truncate(file, 0)
        return file
    except FileNotFoundError:
      pass
    os.close(file)


def _describe(owner: bytes) -> str:
  try:
    written = json.loads(owner)
    return f'process {written["process"]} on {written["host"]} since {written["since"]}'
  except (ValueError, KeyError):  # the owner has not written this yet
    return 'another process'
