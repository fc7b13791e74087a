"""A lock file, so that only one process at a time trains a run."""

import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ocrgan_jax.core.errors import InUse

WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # the file system has no locks
LOCK = '.owner'  # in a run's folder during training


@contextlib.contextmanager
def owned(path: Path) -> Iterator[None]:
  """Holds a lock file. The system releases it when the process ends for any reason.

  Args:
    path: the lock file. It and the folders above it are created, and removed again (folders only
      if they are empty).

  Raises:
    InUse: if another process, or this one, already holds the lock; names the process, its host
      and the time.
  """
  created = [folder for folder in path.parents if not folder.exists()]
  lock = FileLock(path, blocking=False, fallback_to_soft=False)
  path.parent.mkdir(parents=True, exist_ok=True)
  try:
    lock.acquire()
  except (Timeout, FileNotFoundError):  # or the owner is just removing the folder
    raise InUse(
      f'{path.parent} is in use by {_owner_of(path)}; wait until it ends, or use another folder'
    ) from None
  except OSError as error:
    if error.errno not in WITHOUT_LOCKS:
      raise
    print(
      f'warning: the disk of {path.parent} has no locks: start one process at a time there',
      file=sys.stderr,
    )
  try:
    since = time.strftime('%Y-%m-%d %H:%M:%S')
    owner = {'host': socket.gethostname(), 'process': os.getpid(), 'since': since}
    path.write_text(json.dumps(owner))
    yield
  finally:
    path.unlink(missing_ok=True)  # before the release, or another owner's file would go
    lock.release()
    with contextlib.suppress(OSError):
      for folder in created:
        folder.rmdir()


def _owner_of(path: Path) -> str:
  try:
    owner = json.loads(path.read_text())
    return f'process {owner["process"]} on {owner["host"]} since {owner["since"]}'
  except (OSError, ValueError, KeyError):  # the owner has not written this yet
    return 'another process'
