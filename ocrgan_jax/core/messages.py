"""Messages that a user needs once, however many photographs they are about."""

import sys
import threading

from tqdm import tqdm

_lock = threading.Lock()  # photographs are decoded in threads
_printed: set[str] = set()


def print_once(message: str) -> None:
  """Prints a line on stderr, unless this process has printed it before."""
  with _lock:
    if message not in _printed:
      _printed.add(message)
      tqdm.write(message, file=sys.stderr)  # it may come in the middle of a progress bar
