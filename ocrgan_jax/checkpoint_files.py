"""The folders of checkpoints as files: which describe themselves, which are put aside."""

import contextlib
import json
import logging
import shutil
import threading
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
  """Turns what orbax and tensorstore raise at a full disk, and print in threads, into one line."""
  printed = threading.excepthook
  threading.excepthook = lambda _: None
  try:
    yield
  except Exception as error:
    if not is_full(error):
      threading.excepthook = printed
      raise
    # The threads of orbax go on to fail, and to print, until the process ends: they stay silent.
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)
    reason = str(error).strip().partition('\n')[0][:200]
    raise InputError(
      f'cannot save a checkpoint in {folder}: {reason}; free some space, and start the '
      'same command again to go on from the one before'
    ) from None
  threading.excepthook = printed
