"""Scores images with an exported model. Needs jax, numpy and Pillow, but not ocrgan_jax.

python examples/score_exported.py runs/bottle/export photo.png …
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps


def read(path: str, size: int) -> np.ndarray:
  """Reads an image as in training: uint8 [size, size, 3]."""
  with Image.open(path) as file:
    image = ImageOps.exif_transpose(file)
  if image.mode == 'F':
    sys.exit(f'error: {path}: its pixels are floats; save it with 8 or 16 bits')
  if image.mode.startswith('I'):  # deep grey
    grey = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 65535:
      sys.exit(f'error: {path}: its pixels need more than 16 bits; save it with 8 or 16 bits')
    image = Image.fromarray(np.round(grey / 257).astype(np.uint8))
  image = image.convert('RGB')
  smaller = min(image.width, size), min(image.height, size)
  image = image.resize(smaller, Image.Resampling.BOX)
  return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


folder, *paths = sys.argv[1:]
description = json.loads((Path(folder) / 'scorer.json').read_text())
size = description['input']['shape'][1]
model = jax.export.deserialize(bytearray((Path(folder) / 'scorer.stablehlo').read_bytes()))
scores, maps = model.call(np.stack([read(path, size) for path in paths]))
for path, score in zip(paths, scores, strict=True):
  decision = 'anomalous' if score > description['threshold'] else 'normal'
  print(f'{path},{score:.8g},{decision}')
