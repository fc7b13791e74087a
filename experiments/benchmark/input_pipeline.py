"""Times the input pipeline alone, from memory and streamed."""

import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.benchmark.timing import rate_row, time_calls
from experiments.configs import config_of
from experiments.rows import Row
from ocrgan_jax.data.batches import TrainingBatches
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.framing import Framing
from ocrgan_jax.data.images import load_images


def benchmark_input(num_photos: int, side: int, batch: int) -> list[Row]:
  """Times the pipeline at 256 and 32 pixels, from memory and streamed from so many PNGs."""
  found = []
  rng = np.random.default_rng(0)
  for size, count in ((256, 512), (32, 8192)):
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    batches = TrainingBatches(images, batch, seed=0)
    found.append(_rate(f'in memory, {size}, batch {batch}', batches, batch, 8 * 512 // size))
  with tempfile.TemporaryDirectory() as root:
    photos = _make_photographs(Path(root), num_photos, side)
    for size in (256, 32):
      streamed = load_images(photos, Framing(size), memory_gib=0)
      for workers in (0, os.cpu_count() or 1):
        batches = TrainingBatches(streamed, batch, seed=0, workers=workers)
        how = f'{workers} worker processes' if workers else 'threads'
        name = f'streamed from {side}×{side} PNGs, {size}, {how}'
        found.append(_rate(name, batches, batch, 4))
  return found


def _rate(name: str, batches: TrainingBatches, batch: int, count: int) -> Row:
  seconds = time_calls(lambda: [next(batches) for _ in range(count)])
  return rate_row(name, batch * count, seconds)


def _make_photographs(root: Path, count: int, side: int) -> Split:
  """Prepares synthetic photographs, PNGs of smooth colours with sensor noise."""
  rng = np.random.default_rng(0)
  for i in range(count):
    small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    smooth = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
    noise = rng.integers(-2, 3, (side, side, 3))
    pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(root / f'{i:03}.png', compress_level=1)
  fields = {'data.prepared_dir': str(root / 'prepared'), 'data.groups': 'none'}
  return prepare_dataset(str(root), config_of('folder', '', 'paper', fields).data).train
