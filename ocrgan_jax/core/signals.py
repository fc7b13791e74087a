"""Signals: each ends a command with its own status; training finishes its step and saves first.

This is quick to import, because commands handle signals before they import anything slow.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # from clusters, and Ctrl-C

_arrived = 0  # the number of the first signal that was raised or noted


class Interrupted(BaseException):
  """A signal ended the command; nothing is wrong.

  Attributes:
    number: the signal's number.
  """

  def __init__(self, number: int, message: str = 'stopped'):
    super().__init__(message)
    self.number = number


def arrived() -> int:
  """The number of the first signal that came while there was something to write; 0 if none did."""
  return _arrived


def exit_on_signals() -> None:
  """From now on a signal ends the process at once, because there is nothing left to write."""

  def stop(number: int, _: FrameType | None) -> None:
    _leave_now(number, 'stopped')

  _handle(stop)


def raise_on_signals() -> None:
  """From now on a signal raises an exception, so that cleanup runs; a second one ends at once."""

  def stop(number: int, _: FrameType | None) -> None:
    _note(number)
    raise KeyboardInterrupt if number == signal.SIGINT else Interrupted(number)

  _handle(stop)
  sys.unraisablehook = _repeat


def leave(status: int) -> NoReturn:
  """Ends the process after everything is written.

  The normal end of Python takes away what the threads of XLA and tensorstore still use, if they
  were interrupted, and that is a segmentation fault.
  """
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):  # closed
      stream.flush()
  os._exit(status)


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
  if threading.current_thread() is not threading.main_thread():
    return  # only the main thread can
  for number in SIGNALS:
    if signal.getsignal(number) is not signal.SIG_IGN:  # as in a shell's background
      signal.signal(number, handler)


def _repeat(lost: 'sys.UnraisableHookArgs') -> None:
  """Sends a signal again whose exception Python dropped.

  It does so in destructors and in callbacks of the garbage collector, and JAX has such a callback.
  """
  global _arrived
  if not isinstance(lost.exc_value, KeyboardInterrupt | Interrupted):
    sys.__unraisablehook__(lost)
    return
  number, _arrived = _arrived or signal.SIGINT, 0
  again = threading.Timer(0.05, os.kill, (os.getpid(), number))
  again.daemon = True
  again.start()


def _note(number: int) -> None:
  """Notes a first signal; a second one ends the process."""
  global _arrived
  if _arrived:
    _leave_now(number, 'stopped immediately')
  _arrived = number


def _leave_now(number: int, message: str) -> NoReturn:
  _say(message)
  os._exit(128 + number)


def _say(message: str) -> None:
  """Writes to stderr past its buffer, which the interrupted code may be using."""
  with contextlib.suppress(OSError):
    os.write(2, f'\n{message}\n'.encode())


class Interruption:
  """Records whether a signal has arrived.

  Attributes:
    number: the signal's number; 0 if none has arrived.
  """

  number = 0

  def should_stop(self, step: int) -> bool:
    """Whether training stops after this step, in all processes.

    Args:
      step: the step just done; all processes ask after the same steps.
    """
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
      return self.number != 0
    # With several processes JAX handles SIGTERM and picks a step that none has passed.
    if multihost_utils.reached_preemption_sync_point(step):
      self.number = signal.SIGTERM
    return self.number != 0

  def stopped_message(self, step: int) -> str:
    """The command's last message."""
    return f'stopped after step {step}, which is saved; run the same command again to continue'


@contextlib.contextmanager
def defer_signals() -> Iterator[Interruption]:
  """Inside the context, a first signal is only recorded; a second exits immediately.

  Only the main thread can handle signals; in other threads nothing changes.
  """
  import jax

  noted = Interruption()
  if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
    yield noted
    return

  def note(number: int, _: FrameType | None) -> None:
    _note(number)
    noted.number = number
    name = signal.Signals(number).name
    _say(f'{name}: saving after this step; repeat to stop immediately')

  before = {number: signal.signal(number, note) for number in SIGNALS}
  try:
    yield noted
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  if noted.number:  # it arrived too late to stop the body
    raise KeyboardInterrupt if noted.number == signal.SIGINT else Interrupted(noted.number)
