"""A picture of pairs of photographs, to judge whether they show the same part."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ocrgan_jax.drawing.figures import save

COLUMNS = 3  # pairs in a row
WIDTH, HEIGHT = 4.2, 2.9  # of a pair, and at most of a photograph; inches
TEXT = 0.8  # height of the verdict and the names of a pair; inches
TWIN, NO_TWIN = '#1a7f37', '#9a3412'
LONGEST_NAME = 28  # characters


class Pair(NamedTuple):
  """Two photographs."""

  images: tuple[np.ndarray, np.ndarray]  # uint8 [height, width, 3] each, of any sizes
  names: tuple[str, str]  # to write below them
  similarity: float  # to write above them
  twin: bool  # whether it is over the threshold
  remark: str = ''  # to add to that, e.g. because others connect the two


def draw_pairs(path: Path, pairs: Sequence[Pair], title: str) -> None:
  """Draws pairs side by side, a few in a row, each in its aspect ratio.

  Args:
    path: the PNG to write.
    pairs: at least one.
    title: above the picture; may have several lines.
  """
  columns = min(COLUMNS, len(pairs))
  rows = -(-len(pairs) // columns)
  tallest = max(len(image) / image.shape[1] for pair in pairs for image in pair.images)
  height = min(HEIGHT, tallest * WIDTH / 2) + TEXT
  figure = Figure(figsize=(columns * WIDTH, rows * height + TEXT), layout='constrained')
  figure.suptitle(title, x=0.01, ha='left', fontsize=11)
  places = figure.subfigures(rows, columns, squeeze=False).flat
  for pair, place in zip(pairs, places, strict=False):
    verdict, colour = ('twin', TWIN) if pair.twin else ('no twin', NO_TWIN)
    text = f'{verdict}{pair.remark}, similarity {pair.similarity:.3f}'
    place.suptitle(text, color=colour, fontsize=10, fontweight='bold')
    for axes, image, name in zip(place.subplots(1, 2), pair.images, pair.names, strict=True):
      axes.imshow(image)
      axes.set(xticks=[], yticks=[])
      axes.set_xlabel(in_lines(name), fontsize=7, parse_math=False)
      axes.spines[:].set(color=colour, linewidth=1.5)
  save(figure, path, vector=False)


def in_lines(name: str) -> str:
  """A path as two lines, folder and file, each cut at its start if it is too long."""
  folder, _, file = name.rpartition('/')
  cut = lambda text: text if len(text) <= LONGEST_NAME else f'…{text[-LONGEST_NAME:]}'
  return f'{cut(folder)}\n{cut(file)}' if folder else cut(file)
