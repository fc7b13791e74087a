"""The folders of checkpoints as files: which describe themselves, which are put aside."""

import contextlib
import functools
import json
import logging
import re
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from ocrgan_jax.core.digests import digests_of
from ocrgan_jax.core.errors import (InputError, is_disk_full)
from ocrgan_jax.core.sharding import is_first_process

VALIDATION = 'validation_auroc'
METRICS = 'metrics'  # the item that orbax adds
# What Python warns of where orbax gave up before it began; orbax has many coroutines.
NEVER_AWAITED = 'coroutine .* was never awaited'


def scan_checkpoints(checkpoints: Path) -> tuple[dict[int, float], list[Path]]:
  """The checkpoints that describe themselves, with their validation, and those that do not."""
  whole, damaged = {}, []
  for folder in sorted(checkpoints.glob('[0-9]*')):
    if not folder.name.isdecimal():  # being written
      continue
    try:
      json.loads((folder / '_CHECKPOINT_METADATA').read_bytes())
      value = json.loads((folder / 'metrics/metrics').read_bytes())[VALIDATION]
      digests = folder / 'digests/metadata'
      expected = json.loads(digests.read_bytes()).get(METRICS) if digests.exists() else None
      if expected not in (None, digests_of({VALIDATION: value})):
        raise ValueError
      whole[int(folder.name)] = float(value)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
      damaged.append(folder)
  return whole, damaged


def move_to_damaged(folder: Path) -> None:
  """Moves a damaged checkpoint out of the way, to the run's folder `damaged`."""
  if is_first_process() and folder.exists():
    aside = folder.parent.parent / 'damaged'
    aside.mkdir(exist_ok=True)
    shutil.move(folder, aside / f'{folder.name}-{len([*aside.iterdir()])}')


@contextlib.contextmanager
def disk_errors_as_one_line(folder: Path, saved: str = 'a checkpoint') -> Iterator[None]:
  """Turns what orbax and tensorstore raise at a full disk into one line.

  Args:
    folder: in which is saved.
    saved: what it is.

  Raises:
    InputError: if what was done within failed because the disk takes nothing more.
  """
  silence_repeated_errors()
  try:
    yield
  except Exception as error:
    if not is_disk_full(error):
      raise
    for unfinished in folder.glob('*.orbax-checkpoint-tmp'):
      shutil.rmtree(unfinished, ignore_errors=True)
    reason = error.strerror if isinstance(error, OSError) else short_reason(error).rpartition(': ')[2]
    raise InputError(
      f'cannot save {saved} in {folder}: {reason}; what was saved before stays: free some '
      'space, and start the same command again'
    ) from None


def short_reason(error: BaseException) -> str:
  """What orbax or tensorstore failed at in a few words, without the specification of the array."""
  while error.__cause__ is not None:
    error = error.__cause__
  text = str(error).strip().partition('\n')[0]
  text = re.sub(r'Error opening "\w+" driver: | in OCDBT database at local file "[^"]*"', '', text)
  return re.sub(r' \[(tensorstore_spec|os_error_code|source).*', '', text)


def silence_repeated_errors() -> None:
  """Keeps the threads of orbax and tensorstore from printing an error that is raised, too.

  Where one read or write fails, orbax raises its error and gives up. The others fail where nobody
  waits for them any more, or find the event loop that they report to closed, hundreds of times.
  """
  # Each time, for programs reset their warnings; what follows would pile up.
  warnings.filterwarnings('ignore', NEVER_AWAITED, RuntimeWarning)
  _silence_threads()


@functools.cache
def _silence_threads() -> None:
  in_thread, in_callback = threading.excepthook, sys.unraisablehook
  threading.excepthook = lambda args: None if _is_repeat(args.exc_value) else in_thread(args)
  sys.unraisablehook = lambda args: None if _came_too_late(args) else in_callback(args)
  for name in ('absl', 'asyncio'):
    logging.getLogger(name).addFilter(
      lambda record: not (record.exc_info and _is_repeat(record.exc_info[1]))
    )


def _is_repeat(error: BaseException | None) -> bool:
  """Whether an error comes from tensorstore, whose own begin with a status, or a full disk."""
  while error is not None:
    if (isinstance(error, ValueError) and re.match('[A-Z_]+: ', str(error))) or is_disk_full(error):
      return True
    error = error.__cause__
  return False


def _came_too_late(args: 'sys.UnraisableHookArgs') -> bool:
  """Whether a read or write came to its end, or was thrown away, after orbax had given up."""
  error = args.exc_value
  closed = isinstance(error, RuntimeError) and str(error) == 'Event loop is closed'
  if closed and args.object is None:  # called from no Python
    return True
  if isinstance(error, RuntimeWarning) and re.match(NEVER_AWAITED, str(error)):
    return True  # where warnings are errors
  thrown_away = error is not None and isinstance(error.__cause__, GeneratorExit)
  return (thrown_away and 'TensorStore' in str(error)) or _is_repeat(error)
