"""Scores images with an exported model: needs jax, numpy and Pillow, and not ocrgan_jax.

python examples/score_exported.py runs/bottle/export photo.png …
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps


def read(path: str, size: int) -> np.ndarray:
  """The whole image at the model's size, as in training: uint8 [size, size, 3]."""
  with Image.open(path) as file:
    image = ImageOps.exif_transpose(file).convert('RGB')
  smaller = min(image.width, size), min(image.height, size)
  image = image.resize(smaller, Image.Resampling.BOX)
  return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


folder, *paths = sys.argv[1:]
description = json.loads((Path(folder) / 'scorer.json').read_text())
size = description['input']['shape'][1]
model = jax.export.deserialize(bytearray((Path(folder) / 'scorer.stablehlo').read_bytes()))
score, scaled_score, anomaly_map = model.call(np.stack([read(path, size) for path in paths]))
for path, raw, scaled in zip(paths, score, scaled_score, strict=True):
  decision = 'anomalous' if raw > description['threshold'] else 'normal'
  print(f'{path},{raw:.8g},{scaled:.6g},{decision}')
