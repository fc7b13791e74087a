"""Signals that ask a training to end: it finishes its step and saves before it does."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # of clusters, and Ctrl-C


class Interrupted(BaseException):
  """A signal has ended the command; nothing is wrong.

  Attributes:
    number: of the signal.
  """

  def __init__(self, number: int, message: str = 'stopped'):
    super().__init__(message)
    self.number = number


class Interruption:
  """Whether a signal has come.

  Attributes:
    number: of the signal; 0 if none has come.
  """

  number = 0

  def agreed(self, step: int) -> bool:
    """Whether training ends after this step, on all of its processes.

    Args:
      step: that was done; all processes ask after the same steps.
    """
    if jax.process_count() == 1:
      return self.number != 0
    # JAX listens for SIGTERM itself there, and finds a step that no process has passed.
    if multihost_utils.reached_preemption_sync_point(step):
      self.number = signal.SIGTERM
    return self.number != 0

  def told_after(self, step: int) -> str:
    """What the command says at its end."""
    return f'stopped after step {step}, which is saved: start the same command again to go on'


@contextlib.contextmanager
def deferred() -> Iterator[Interruption]:
  """Within it, a first signal is only noted, and a second ends the process at once.

  Signals reach the main thread alone; elsewhere nothing is changed.
  """
  noted = Interruption()
  if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
    yield noted
    return

  def note(number: int, _: FrameType | None) -> None:
    if noted.number:
      os.write(2, b'\nstopped at once\n')
      os._exit(128 + number)
    noted.number = number
    name = signal.Signals(number).name
    os.write(2, f'\n{name}: saving after this step; once more stops at once\n'.encode())

  before = {number: signal.signal(number, note) for number in SIGNALS}
  try:
    yield noted
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  if noted.number:  # it came when there was nothing left to be stopped here
    signal.raise_signal(noted.number)


def raise_on_sigterm() -> None:
  """Makes SIGTERM end the command as Ctrl-C does: what was begun is cleaned up."""

  def stop(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)

  if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, stop)
