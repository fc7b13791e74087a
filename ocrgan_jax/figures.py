"""Pictures of what a model found. Each function writes one PNG, whole or not at all."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ocrgan_jax.errors import InputError
from ocrgan_jax.scoring import Calibration

matplotlib.use('agg')

NORMAL_COLOR, ANOMALOUS_COLOR, UNLABELLED_COLOR = 'tab:blue', 'tab:red', 'tab:gray'


def save(figure: Figure, path: Path) -> None:
  """Writes a figure as a PNG."""
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f'cannot write {path}: {error}; choose another place') from None
  partial = path.with_name(f'.{path.name}.partial')
  with warnings.catch_warnings():
    # A letter that the font lacks is drawn as a box, which the picture shows.
    warnings.filterwarnings('ignore', 'Glyph', UserWarning)
    figure.savefig(partial, format='png', dpi=100, bbox_inches='tight')
  os.replace(partial, path)


def histogram(
  path: Path, labels: np.ndarray, scores: np.ndarray, calibration: Calibration, title: str
) -> None:
  """Scaled scores of normal against anomalous images (Fig. 8), with the threshold.

  Args:
    path: of the PNG.
    labels: int [images], 1 for anomalous.
    scores: float [images], scaled by Eq. 14.
    calibration: whose scaled threshold is drawn.
    title: over the picture.
  """
  figure = Figure(figsize=(7, 4))
  axes = figure.subplots()
  bins = np.histogram_bin_edges(scores, bins=40).tolist()
  for value, name, color in (
    (0, 'normal', NORMAL_COLOR),
    (1, 'anomalous', ANOMALOUS_COLOR),
    (-1, 'unlabelled', UNLABELLED_COLOR),
  ):
    chosen = scores[labels == value]
    if len(chosen):
      # As shares, since the two classes are seldom of a size.
      weights = np.full(len(chosen), 1 / len(chosen))
      axes.hist(
        chosen, bins, weights=weights, alpha=0.6, color=color, label=f'{name} ({len(chosen)})'
      )
  width = calibration.maximum - calibration.minimum
  if width > 0:
    threshold = (calibration.threshold - calibration.minimum) / width
    axes.axvline(threshold, color='black', linestyle='--', label='default threshold')
  axes.set(xlabel='scaled anomaly score (0 to 1: held-out normal images)', ylabel='share of images')
  axes.set_title(title)
  axes.legend()
  save(figure, path)


def loss_curves(path: Path, lines: Sequence[dict[str, float]]) -> None:
  """The losses over the epochs of training.

  Args:
    path: of the PNG.
    lines: of `metrics.jsonl`.
  """
  lines = [line for line in lines if 'generator' in line]
  names = [n for n in ('content', 'adversarial', 'latent', 'discriminator') if n in lines[0]]
  figure = Figure(figsize=(3.2 * len(names), 3))
  for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
    axes.plot([line['epoch'] for line in lines], [line[name] for line in lines])
    axes.set(title=f'{name} loss', xlabel='epoch', yscale='log' if name == 'content' else 'linear')
  figure.tight_layout()
  save(figure, path)


def sheet(
  path: Path,
  rows: Sequence[str],
  columns: dict[str, np.ndarray],
) -> None:
  """A sheet of pictures: one row an image, one column a view of it.

  Args:
    path: of the PNG.
    rows: what stands before each row.
    columns: name → float [rows, size, size, 3] in [-1, 1], shown as colours, or
      [rows, size, size], shown on one heat scale for the whole column.
  """
  figure = Figure(figsize=(1.6 * len(columns) + 1.6, 1.6 * len(rows) + 0.4))
  grid = figure.subplots(len(rows), len(columns), squeeze=False)
  for column, (name, images) in enumerate(columns.items()):
    for row, image in enumerate(images):
      axes = grid[row, column]
      if image.ndim == 2:
        axes.imshow(image, cmap='inferno', vmin=0, vmax=max(float(images.max()), 1e-6))
      else:
        axes.imshow(np.clip((image + 1) / 2, 0, 1))
      axes.set_xticks([])
      axes.set_yticks([])
      if row == 0:
        axes.set_title(name, fontsize=8)
      if column == 0:
        axes.set_ylabel(
          rows[row], fontsize=7, rotation=0, ha='right', va='center', parse_math=False
        )
  figure.subplots_adjust(wspace=0.03, hspace=0.03)
  save(figure, path)
