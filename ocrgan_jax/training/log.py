"""The log of a training run: metrics as JSON lines and TensorBoard events, a progress bar."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter
from tqdm import tqdm

from ocrgan_jax.core.files import write_text


def read_lines(path: Path) -> list[dict[str, Any]]:
  """Reads the lines of a `metrics.jsonl`, up to one that was truncated when a run was killed."""
  lines: list[dict[str, Any]] = []
  if path.exists():
    for line in path.read_text().splitlines():
      try:
        lines.append(json.loads(line))
      except json.JSONDecodeError:
        break
  return lines


class TrainingLog:
  """Writes metrics as JSON lines and TensorBoard events, and shows the progress bar.

  A line of `metrics.jsonl` has `step`, `epoch` (passes over the training set so far), and either
  the results of a validation, or the mean losses since the last such line and
  `images_per_second`.
  """

  def __init__(
    self,
    workdir: Path,
    *,
    step: int,
    num_steps: int,
    batch_size: int,
    num_images: int,
    writes: bool = True,
  ):
    """Opens the log of a run and drops what an interrupted run logged after `step`.

    Args:
      workdir: the run's folder.
      step: number of steps already done.
      num_steps: length of the run in steps.
      batch_size: images per step.
      num_images: images per epoch.
      writes: whether this process writes the log; only one process of a run does.
    """
    self._path, self._events = workdir / 'metrics.jsonl', None
    if writes:
      kept = [line for line in read_lines(self._path) if line['step'] <= step]
      write_text(self._path, ''.join(f'{json.dumps(line)}\n' for line in kept))
      self._events = SummaryWriter(str(workdir / 'tensorboard'), purge_step=step + 1)
    self._epoch = lambda step: step * batch_size / num_images
    self._batch_size = batch_size
    # Outside a terminal, every update of the bar adds a line.
    self._bar = tqdm(
      total=num_steps * batch_size,
      disable=not (writes and num_steps),
      initial=step * batch_size,
      desc='training',
      unit='image',
      unit_scale=True,
      mininterval=0.5 if sys.stderr.isatty() else 10,
      bar_format='{desc} {percentage:3.0f}%|{bar}| {rate_fmt}, {remaining} left{postfix}',
    )
    self._start_window()

  def _start_window(self) -> None:
    self._window: list[dict[str, jax.Array]] = []
    self._images = 0
    self._since = time.perf_counter()

  def add(self, metrics: dict[str, jax.Array]) -> None:
    """Adds the scalars of one step, without waiting for the device."""
    self._window.append(metrics)
    self._images += self._batch_size
    self._bar.update(self._batch_size)

  def flush(self, step: int) -> list[dict[str, float]]:
    """Writes the means since the last flush, if any; returns the values of each step."""
    window = [
      {name: float(value) for name, value in metrics.items()}
      for metrics in jax.device_get(self._window)
    ]
    if not window:
      return []
    means = {name: sum(values[name] for values in window) / len(window) for name in window[0]}
    rate = self._images / (time.perf_counter() - self._since)
    self.write(step, {**means, 'images_per_second': rate})
    shown = ', '.join(
      f'{name} {means[name]:.3f}' for name in ('generator', 'discriminator') if name in means
    )
    self._bar.set_postfix_str(f'epoch {self._epoch(step):.1f}, losses: {shown}', refresh=False)
    self._start_window()
    return window

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Writes one line and the same values as events."""
    if self._events is None:
      return
    line = {'step': step, 'epoch': round(self._epoch(step), 4), **metrics}
    with self._path.open('a') as file:
      file.write(json.dumps(line) + '\n')
    for name, value in metrics.items():
      self._events.add_scalar(name, value, step)

  def picture(self, step: int, name: str, image: np.ndarray) -> None:
    """Shows a picture, uint8 [height, width, 3], in TensorBoard."""
    if self._events is not None:
      self._events.add_image(name, image, step, dataformats='HWC')

  def text(self, name: str, content: str) -> None:
    """Shows preformatted text in TensorBoard."""
    if self._events is not None:
      self._events.add_text(name, '    ' + content.replace('\n', '\n    '), 0)

  @contextlib.contextmanager
  def untimed(self) -> Iterator[None]:
    """Excludes the time inside (a validation, a checkpoint) from images/s."""
    begun = time.perf_counter()
    yield
    self._since += time.perf_counter() - begun

  def message(self, text: str) -> None:
    """Prints a line above the bar, in the process that writes."""
    if self._events is not None:
      self._bar.write(text, file=sys.stderr)

  def close(self) -> None:
    """Closes the bar and the events."""
    self._bar.close()
    if self._events is not None:
      self._events.close()
