"""Messages that a user needs once, however many photographs they are about."""

import functools
import sys
import threading

from tqdm import tqdm

_ONE_AT_A_TIME = threading.Lock()  # photographs are decoded in threads


def print_once(message: str) -> None:
  """Prints a line on stderr, unless this process has printed it before."""
  with _ONE_AT_A_TIME:
    _print(message)


@functools.cache
def _print(message: str) -> None:
  tqdm.write(message, file=sys.stderr)  # it may come in the middle of a progress bar
