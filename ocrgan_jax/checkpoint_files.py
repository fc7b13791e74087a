"""The folders of checkpoints as files: which describe themselves, which are put aside."""

import contextlib
import json
import logging
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from ocrgan_jax.digests import digests_of
from ocrgan_jax.errors import InputError, is_full
from ocrgan_jax.sharding import is_first_process

VALIDATION = 'validation_auroc'
METRICS = 'metrics'  # the item that orbax adds


def look_through(checkpoints: Path) -> tuple[dict[int, float], list[Path]]:
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


def put_aside(folder: Path) -> None:
  """Moves a damaged checkpoint out of the way, to the run's folder `damaged`."""
  if is_first_process() and folder.exists():
    aside = folder.parent.parent / 'damaged'
    aside.mkdir(exist_ok=True)
    shutil.move(folder, aside / f'{folder.name}-{len([*aside.iterdir()])}')


@contextlib.contextmanager
def told_if_full(folder: Path) -> Iterator[None]:
  """Turns what orbax and tensorstore raise at a full disk, and print in threads, into one line.

  Args:
    folder: of the checkpoints, to be named.

  Raises:
    InputError: if what was done within failed because the disk takes nothing more.
  """
  in_thread, in_callback = threading.excepthook, sys.unraisablehook
  threading.excepthook = lambda args: None if _is_echo(args.exc_value) else in_thread(args)
  sys.unraisablehook = lambda args: None if _is_echo(args.exc_value) else in_callback(args)
  for name in ('absl', 'asyncio'):
    logging.getLogger(name).addFilter(_is_news)
  try:
    yield
  except Exception as error:
    if is_full(error):
      # Threads go on to fail until the process ends: what keeps them silent stays.
      warnings.filterwarnings('ignore', 'coroutine .* was never awaited', RuntimeWarning)
      for unfinished in folder.glob('*.orbax-checkpoint-tmp'):
        shutil.rmtree(unfinished, ignore_errors=True)
      reason = str(error).strip().partition('\n')[0][:200]
      raise InputError(
        f'cannot save a checkpoint in {folder}: {reason}; free some space, and start the '
        'same command again to go on from the one before'
      ) from None
    threading.excepthook, sys.unraisablehook = in_thread, in_callback
    raise
  threading.excepthook, sys.unraisablehook = in_thread, in_callback


def _is_news(record: logging.LogRecord) -> bool:
  return not (record.exc_info and _is_echo(record.exc_info[1]))


def _is_echo(error: BaseException | None) -> bool:
  """Whether an error only repeats that the disk is full, which is told where the save ends."""
  # The writes of tensorstore come to an end after the loop that waited for them gave up.
  late = isinstance(error, RuntimeError) and str(error) == 'Event loop is closed'
  return late or (error is not None and is_full(error))
