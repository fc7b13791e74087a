"""The files of checkpoints: reads them, finds damaged ones, and turns errors into one line."""

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
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import CheckpointManager

from ocrgan_jax.core.digests import digests_of
from ocrgan_jax.core.errors import Damaged, InputError, is_disk_full
from ocrgan_jax.core.sharding import is_first_process

VALIDATION = 'validation_auroc'
METRICS = 'metrics'  # an item that orbax adds
# Python's warning for coroutines that orbax abandons when it fails early.
NEVER_AWAITED = 'coroutine .* was never awaited'


def open_latest(folder: Path) -> CheckpointManager:
  """Opens a folder of which only the last checkpoint is kept."""
  options = ocp.CheckpointManagerOptions(
    max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
  )
  return CheckpointManager(folder.absolute(), options=options)


def steps_in(checkpoints: Path) -> list[Path]:
  """The folders of checkpoints, without those that are being written."""
  return [path for path in sorted(checkpoints.glob('[0-9]*')) if path.name.isdecimal()]


def read_items(folder: Path, **items: ocp.args.CheckpointArgs) -> Any:
  """Reads items of a checkpoint.

  Raises:
    Damaged: names the checkpoint and what is wrong with it.
  """
  silence_repeated_errors()
  try:
    # Not with a manager: it reads the other checkpoints, too, and fails if one is damaged.
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
      return reader.restore(folder, args=ocp.args.Composite(**items))
  except Exception as error:  # orbax and tensorstore raise many types
    reason = short_reason(error)[:200] or type(error).__name__
    raise Damaged(f'checkpoint {folder} is damaged: {reason}') from None


def scan_checkpoints(checkpoints: Path) -> tuple[dict[int, float], list[Path]]:
  """Finds checkpoints with readable and with unreadable metadata.

  Args:
    checkpoints: the folder of the checkpoints.

  Returns:
    Step → validation AUROC of the readable ones, and the folders of the others.
  """
  whole, damaged = {}, []
  for folder in steps_in(checkpoints):
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
  """Moves a damaged checkpoint to the run's folder `damaged`."""
  if is_first_process() and folder.exists():
    aside = folder.parent.parent / 'damaged'
    aside.mkdir(exist_ok=True)
    shutil.move(folder, aside / f'{folder.name}-{len([*aside.iterdir()])}')


@contextlib.contextmanager
def disk_errors_as_one_line(folder: Path, saved: str = 'a checkpoint') -> Iterator[None]:
  """Turns errors of orbax and tensorstore on a full disk into an InputError of one line.

  Args:
    folder: the folder that is written to.
    saved: what is saved, for the message.

  Raises:
    InputError: if the body failed because the disk accepts no more data.
  """
  silence_repeated_errors()
  try:
    yield
  except Exception as error:
    if not is_disk_full(error):
      raise
    for unfinished in folder.glob('*.orbax-checkpoint-tmp'):
      shutil.rmtree(unfinished, ignore_errors=True)
    reason = (
      error.strerror if isinstance(error, OSError) else short_reason(error).rpartition(': ')[2]
    )
    raise InputError(
      f'cannot save {saved} in {folder}: {reason}; what was saved before is intact: free some '
      'space and run the same command again'
    ) from None


def short_reason(error: BaseException) -> str:
  """The root cause of an orbax or tensorstore error, without the array's specification."""
  while error.__cause__ is not None:
    error = error.__cause__
  text = str(error).strip().partition('\n')[0]
  text = re.sub(r'Error opening "\w+" driver: | in OCDBT database at local file "[^"]*"', '', text)
  return re.sub(r' \[(tensorstore_spec|os_error_code|source).*', '', text)


def silence_repeated_errors() -> None:
  """Keeps threads of orbax and tensorstore from printing errors that are raised anyway.

  When one read or write fails, orbax raises its error and gives up. The remaining ones, often
  hundreds, then fail with nobody waiting, or find their event loop closed.
  """
  # On every call, since programs reset their warnings; the hooks below would pile up.
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
  """Whether an error is from tensorstore (its messages start with a status) or a full disk."""
  while error is not None:
    if (isinstance(error, ValueError) and re.match('[A-Z_]+: ', str(error))) or is_disk_full(error):
      return True
    error = error.__cause__
  return False


def _came_too_late(args: 'sys.UnraisableHookArgs') -> bool:
  """Whether a read or write ended, or was discarded, after orbax had given up."""
  error = args.exc_value
  closed = isinstance(error, RuntimeError) and str(error) == 'Event loop is closed'
  if closed and args.object is None:  # not called from Python
    return True
  if isinstance(error, RuntimeWarning) and re.match(NEVER_AWAITED, str(error)):
    return True  # if warnings are errors
  discarded = error is not None and isinstance(error.__cause__, GeneratorExit)
  return (discarded and 'TensorStore' in str(error)) or _is_repeat(error)
