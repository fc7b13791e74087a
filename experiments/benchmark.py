"""How fast the parts are: `python -m experiments.benchmark --what=input`.

Prints a table and, as its last line, the same as JSON. Every figure is the median
over repeats within one run; the spread beside it is from the least to the largest.
"""

import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from configs import folder
from ocrgan_jax import command_line
from ocrgan_jax.data import prepare_dataset
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.pipeline import TrainingBatches, load_images

REPEATS = 5
PHOTO_SIZE = 900  # of MVTec AD's bottle


def machine() -> str:
  """The machine in words."""
  model = platform.processor() or platform.machine()
  cpuinfo = Path('/proc/cpuinfo')
  if cpuinfo.exists():
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
    model = names[0].split(':', 1)[1].strip() if names else model
  return f'{os.cpu_count()} cores, {model}, Python {platform.python_version()}'


def rate(batches: Iterator[np.ndarray], count: int) -> list[float]:
  """Images/s of an iterator, REPEATS times over `count` batches, after a warm-up."""
  rates = []
  for repeat in range(REPEATS + 1):
    start, images = time.perf_counter(), 0
    for _ in range(count):
      images += len(next(batches))
    if repeat:
      rates.append(images / (time.perf_counter() - start))
  return rates


def row(name: str, rates: list[float]) -> dict[str, Any]:
  """One line of the table, printed and kept."""
  result = {
    'name': name,
    'images_per_second': float(np.median(rates)),
    'spread': [min(rates), max(rates)],
  }
  print(f'{name:50} {np.median(rates):9.0f} images/s  ({min(rates):.0f} to {max(rates):.0f})')
  return result


def photographs(root: Path, count: int) -> Split:
  """Prepares made-up photographs, PNGs of 900×900: smooth colours with sensor noise."""
  rng = np.random.default_rng(0)
  for i in range(count):
    small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    smooth = Image.fromarray(small).resize((PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.BICUBIC)
    noise = rng.integers(-2, 3, (PHOTO_SIZE, PHOTO_SIZE, 3))
    pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(root / f'{i:03}.png', compress_level=1)
  config = folder.get_config()
  config.data.prepared_dir = str(root / 'prepared')
  return prepare_dataset(str(root), config.data).train


def benchmark_input() -> list[dict[str, Any]]:
  """Images/s of the pipeline alone, at 256 and 32, in memory and streamed from large PNGs."""
  rows = []
  rng = np.random.default_rng(0)
  for size, count in ((256, 512), (32, 8192)):
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    batches = TrainingBatches(images, 32, seed=0)
    rows.append(row(f'in memory, {size}, batch 32', rate(batches, 8 * 512 // size)))
  with tempfile.TemporaryDirectory() as root:
    photos = photographs(Path(root), 64)
    for size in (256, 32):
      streamed = load_images(photos, size, memory_gib=0)
      for workers in (0, os.cpu_count() or 1):
        batches = TrainingBatches(streamed, 32, seed=0, workers=workers)
        how = f'{workers} worker processes' if workers else 'threads'
        rows.append(
          row(f'streamed from {PHOTO_SIZE}×{PHOTO_SIZE} PNGs, {size}, {how}', rate(batches, 4))
        )
  return rows


def main() -> None:
  """Runs the command."""
  print(machine())
  rows = benchmark_input()
  print(json.dumps({'machine': machine(), 'rows': rows}))


if __name__ == '__main__':
  flags.DEFINE_enum('what', 'input', ['input'], 'what to measure')
  command_line.run(main)
