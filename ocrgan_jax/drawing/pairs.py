"""A picture of pairs of photographs, to judge whether they show the same part."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ocrgan_jax.drawing.figures import save

COLUMNS = 3  # pairs in a row
# Of one photograph in inches; the names below it need the least width.
LEAST_WIDTH, WIDTH, HEIGHT = 1.5, 2.0, 2.9
INNER, OUTER = 0.06, 0.22  # space between the two of a pair, and around pairs; inches
ABOVE, BELOW, TITLE = 0.32, 0.36, 0.55  # for the verdict, the names and the title; inches
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
  rows = [pairs[at : at + columns] for at in range(0, len(pairs), columns)]
  aspects = [[image.shape[0] / image.shape[1] for p in row for image in p.images] for row in rows]
  tallest, widest = max(map(max, aspects)), min(map(min, aspects))
  wide = max(LEAST_WIDTH, min(WIDTH, min(HEIGHT, WIDTH * tallest) / widest))
  heights = [min(HEIGHT, wide * max(row)) for row in aspects]
  width = columns * (2 * wide + INNER + OUTER) + OUTER
  height = sum(heights) + len(rows) * (ABOVE + BELOW + OUTER) + TITLE
  figure = Figure(figsize=(width, height))
  figure.text(OUTER / width, 1 - 0.15 / height, title, fontsize=11, va='top')
  # Keeps the margins when the picture is cropped to what is drawn.
  figure.add_artist(Rectangle((0, 0), 1, 1, fill=False, linewidth=0))
  top = height - TITLE
  for row, tall in zip(rows, heights, strict=True):
    for column, pair in enumerate(row):
      left = OUTER + column * (2 * wide + INNER + OUTER)
      colour = TWIN if pair.twin else NO_TWIN
      figure.text(
        (left + wide + INNER / 2) / width,
        (top - ABOVE + 0.08) / height,
        f'{"twin" if pair.twin else "no twin"}{pair.remark}, similarity {pair.similarity:.3f}',
        color=colour,
        fontsize=10,
        fontweight='bold',
        ha='center',
      )
      for side, (image, name) in enumerate(zip(pair.images, pair.names, strict=True)):
        start, bottom = left + side * (wide + INNER), top - ABOVE - tall
        axes = figure.add_axes(
          (start / width, bottom / height, wide / width, tall / height), anchor='N'
        )
        axes.imshow(image)
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(in_lines(name), fontsize=7, parse_math=False)
        for line in axes.spines.values():
          line.set(color=colour, linewidth=1.5)
    top -= ABOVE + tall + BELOW + OUTER
  save(figure, path, vector=False)


def in_lines(name: str) -> str:
  """A path as two lines, folder and file, each cut at its start if it is too long."""
  folder, _, file = name.rpartition('/')
  cut = lambda text: text if len(text) <= LONGEST_NAME else f'…{text[-LONGEST_NAME:]}'
  return f'{cut(folder)}\n{cut(file)}' if folder else cut(file)
