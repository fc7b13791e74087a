"""Scores images with an exported model. Needs jax, numpy and Pillow, but not ocrgan_jax.

python examples/score_exported.py runs/bottle/export photo.png …
"""

import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps


def read(path: str) -> Image.Image:
  """Reads a photograph as training does, as RGB."""
  with Image.open(path) as file:
    image = ImageOps.exif_transpose(file)
  if image.mode == 'F':
    sys.exit(f'error: {path}: its pixels are floats; save it with 8 or 16 bits')
  if image.mode.startswith('I'):  # deep grey
    grey = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 65535:
      sys.exit(f'error: {path}: its pixels need more than 16 bits; save it with 8 or 16 bits')
    image = Image.fromarray(np.round(grey / 257).astype(np.uint8))
  return image.convert('RGB')


def boxes(width: int, height: int) -> list[tuple[int, int, int, int]]:
  """The squares to score, in pixels of the photograph; they may extend beyond it."""
  if description['fit'] == 'pad':
    side = max(width, height)
    return [((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)]
  side = description['tile']
  starts = []
  for length in (width, height):
    step = side * (1 - description['overlap'])
    count = max(1, math.ceil((length - side) / step) + 1)
    spread = [round(i * (length - side) / (count - 1)) for i in range(count)] if count > 1 else []
    starts.append(spread or [(length - side) // 2])
  return [(x, y, x + side, y + side) for y in starts[1] for x in starts[0]]


def resize(image: Image.Image) -> Image.Image:
  """Resizes to the model's size: area averaging where it shrinks, else linear."""
  smaller = min(image.width, size), min(image.height, size)
  image = image.resize(smaller, Image.Resampling.BOX)
  return image.resize((size, size), Image.Resampling.BILINEAR)


def images_of(photograph: Image.Image) -> list[np.ndarray]:
  """The model's inputs from a photograph: uint8 [size, size, channels] each."""
  if description['fit'] == 'stretch' and not description['region']:
    return [np.asarray(resize(photograph))]
  counts = Image.new('L', photograph.size, 255)
  if description['region']:
    counts = Image.open(folder / 'region.png').convert('L').resize(photograph.size)
    pixels, inside = np.array(photograph), np.asarray(counts) > 0
    pixels[~inside] = pixels[inside].mean(0).astype(int)
    photograph = Image.fromarray(pixels)
  if description['fit'] == 'stretch':
    cuts = [(photograph, counts)]
  else:
    pixels = np.asarray(photograph)
    down, across = (max(1, round(0.02 * side)) for side in pixels.shape[:2])
    sides = pixels[:down], pixels[-down:], pixels[:, :across], pixels[:, -across:]
    border = np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0)
    cuts = []
    for left, upper, right, lower in boxes(*photograph.size):
      cut = Image.new('RGB', (right - left, lower - upper), tuple(border.astype(int).tolist()))
      cut_counts = Image.new('L', cut.size, 0)
      cut.paste(photograph, (-left, -upper))
      cut_counts.paste(counts, (-left, -upper))
      cuts.append((cut, cut_counts))
  found = []
  for cut, cut_counts in cuts:
    image = resize(cut)
    image.putalpha(resize(cut_counts).point(lambda value: 255 if value > 127 else 0))
    found.append(np.asarray(image))
  return found


folder, paths = Path(sys.argv[1]), sys.argv[2:]
description = json.loads((folder / 'scorer.json').read_text())
size = description['input']['shape'][1]
model = jax.export.deserialize(bytearray((folder / 'scorer.stablehlo').read_bytes()))
for path in paths:
  scores, maps = model.call(np.stack(images_of(read(path))))
  score = scores.max()
  decision = 'anomalous' if score > description['threshold'] else 'normal'
  print(f'{path},{score:.8g},{decision}')
