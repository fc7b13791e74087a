"""Signals that stop training: it finishes its step and saves first."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # from clusters, and Ctrl-C


class Interrupted(BaseException):
  """A signal ended the command; nothing is wrong.

  Attributes:
    number: the signal's number.
  """

  def __init__(self, number: int, message: str = 'stopped'):
    super().__init__(message)
    self.number = number


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
  noted = Interruption()
  if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
    yield noted
    return

  def note(number: int, _: FrameType | None) -> None:
    if noted.number:
      os.write(2, b'\nstopped immediately\n')
      os._exit(128 + number)
    noted.number = number
    name = signal.Signals(number).name
    os.write(2, f'\n{name}: saving after this step; repeat to stop immediately\n'.encode())

  before = {number: signal.signal(number, note) for number in SIGNALS}
  try:
    yield noted
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  if noted.number:  # it arrived too late to stop the body
    signal.raise_signal(noted.number)


def raise_on_sigterm() -> None:
  """Makes SIGTERM end the command like Ctrl-C, so that cleanup runs."""

  def stop(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)

  if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, stop)
