"""Figures of an evaluation. Files are written atomically.

scikit-learn is slow to import and most commands do not need it, so functions import it.
"""

import io
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import binary_dilation

from ocrgan_jax.core.files import write_bytes, write_text

matplotlib.rcParams['svg.hashsalt'] = 'ocrgan'  # makes SVG files reproducible

# Label, what users read, colour.
CLASSES = (
  (0, 'sound', 'tab:blue'),
  (1, 'anomalous', 'tab:red'),
  (-1, 'unlabelled', 'tab:gray'),
)
OUTLINE = (0, 255, 0)  # colour of mask outlines
MODEL_STYLE: dict[str, Any] = {'linewidth': 2.0, 'color': 'black'}
TRIVIAL_STYLES: tuple[dict[str, Any], ...] = tuple(
  {'linewidth': 1.0, 'color': 'dimgray', 'linestyle': style}
  for style in ('-', '--', ':', '-.', (0, (6, 1, 1, 1, 1, 1)))
)
# Fields in a line of `metrics.jsonl` that are not metrics.
BOOKKEEPING = ('step', 'epoch', 'images_per_second')
LOSSES_PER_ROW = 3
LOG_SCALE_RATIO = 20  # above this ratio of largest to smallest value, an axis is logarithmic


def save(figure: Figure, path: Path, *, vector: bool = True) -> None:
  """Writes a figure as a PNG and, unless it holds photographs, as an SVG beside it."""
  file, drawing = io.BytesIO(), io.StringIO()
  with warnings.catch_warnings():
    # A glyph that the font lacks is drawn as a box; that needs no warning.
    warnings.filterwarnings('ignore', 'Glyph', UserWarning)
    figure.savefig(file, format='png', dpi=100, bbox_inches='tight')
    if vector:
      figure.savefig(drawing, format='svg', bbox_inches='tight', metadata={'Date': None})
  write_bytes(path, file.getvalue())
  if vector:
    write_text(path.with_suffix('.svg'), drawing.getvalue())


def roc_and_precision_recall(
  path: Path, labels: np.ndarray, scores: dict[str, np.ndarray], threshold: float
) -> None:
  """Draws ROC and precision/recall curves of the model and of trivial scores.

  Args:
    path: the PNG to write.
    labels: int [images], 1 for anomalous; both classes must occur.
    scores: name → float [images], larger for more anomalous; the model's come first.
    threshold: the model's threshold, marked on its curves.
  """
  from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

  figure = Figure(figsize=(10, 4.5))
  left, right = figure.subplots(1, 2)
  styles = itertools.chain([MODEL_STYLE], itertools.cycle(TRIVIAL_STYLES))
  for (name, values), style in zip(scores.items(), styles, strict=False):
    fpr, tpr, _ = roc_curve(labels, values)
    left.plot(fpr, tpr, label=f'{name}, area {auc(fpr, tpr):.3f}', **style)
    precision, recall, _ = precision_recall_curve(labels, values)
    area = average_precision_score(labels, values)
    right.plot(recall, precision, label=f'{name}, average {area:.3f}', **style)
  anomalous, above = labels == 1, next(iter(scores.values())) > threshold
  mark = {'color': 'black', 'marker': 'o', 'linestyle': 'none', 'label': "the model's threshold"}
  left.plot([above[~anomalous].mean()], [above[anomalous].mean()], **mark)
  if above.any():
    right.plot([above[anomalous].mean()], [anomalous[above].mean()], **mark)
  left.plot([0, 1], [0, 1], color='gray', linestyle=':', label='chance')
  right.axhline(anomalous.mean(), color='gray', linestyle=':', label='chance')
  left.set(title='ROC', xlabel='share of sound images above', ylabel='share of anomalous above')
  right.set(title='precision and recall', xlabel='recall', ylabel='precision', ylim=(0, 1.02))
  for axes in (left, right):
    axes.legend(fontsize=7, loc='lower right')
  save(figure, path)


def latent_features(path: Path, labels: np.ndarray, features: np.ndarray) -> None:
  """Draws D's latent features of images in two dimensions, by t-SNE (Fig. 10).

  Args:
    path: the PNG to write.
    labels: int [images], 1 for anomalous; at least four images.
    features: float [images, 100].
  """
  from sklearn.manifold import TSNE

  perplexity = min(30.0, (len(features) - 1) / 3)
  points = TSNE(perplexity=perplexity, init='pca', random_state=0).fit_transform(features)
  figure = Figure(figsize=(6, 5))
  axes = figure.subplots()
  for value, name, color in CLASSES:
    chosen = points[labels == value]
    if len(chosen):
      axes.scatter(
        chosen[:, 0], chosen[:, 1], s=12, color=color, alpha=0.7, label=f'{name} ({len(chosen)})'
      )
  axes.set(title='latent features of the test images, t-SNE', xticks=[], yticks=[])
  axes.legend()
  save(figure, path)


def channel_weights(path: Path, weights: dict[str, np.ndarray], bands: Sequence[str]) -> None:
  """Draws the distribution over channels of the weights that CS gives each band at each stage.

  Args:
    path: the PNG to write.
    weights: name of the stage's CS → float [branches, images, channels].
    bands: names of the branches.
  """
  figure = Figure(figsize=(1.3 * len(weights) + 2, 3.5))
  axes = figure.subplots()
  width = 0.8 / len(bands)
  for b, band in enumerate(bands):
    color = f'C{b}'
    boxes = axes.boxplot(
      [stage[b].mean(0) for stage in weights.values()],  # per channel, averaged over the images
      positions=np.arange(len(weights)) + (b - (len(bands) - 1) / 2) * width,
      widths=0.9 * width,
      patch_artist=True,
      flierprops={'markersize': 2},
      medianprops={'color': 'black'},
    )
    for box in boxes['boxes']:
      box.set_facecolor(color)
    axes.plot([], [], color=color, linewidth=6, label=band)
  axes.axhline(1 / len(bands), color='gray', linestyle=':', label='all bands equal')
  axes.set_xticks(range(len(weights)), [f'{n}\n{w.shape[-1]} ch.' for n, w in weights.items()])
  axes.set(title='channel weights of CS by stage and band', ylabel='weight')
  axes.legend(fontsize=8)
  save(figure, path)


def loss_curves(path: Path, lines: Sequence[dict[str, float]]) -> None:
  """Draws the losses in the lines of a `metrics.jsonl` over the epochs, if there are any."""
  losses = collect_losses(lines)
  if not losses:
    return
  rows, columns = -(-len(losses) // LOSSES_PER_ROW), min(len(losses), LOSSES_PER_ROW)
  figure = Figure(figsize=(3.6 * columns, 3 * rows))
  grid = figure.subplots(rows, columns, squeeze=False).flat
  for axes, (name, (epochs, values)) in zip(grid, losses.items(), strict=False):
    # A run of a few steps has one point, which a line does not show.
    axes.plot(epochs, values, marker='.' if len(values) == 1 else None)
    axes.set(title=f'{name} loss', xlabel='epoch', yscale=axis_scale(values))
  for axes in grid[len(losses) :]:
    axes.remove()
  figure.tight_layout()
  save(figure, path)


def collect_losses(lines: Sequence[dict[str, float]]) -> dict[str, tuple[list[float], list[float]]]:
  """The losses in the lines of a `metrics.jsonl`, whatever their names: (epochs, values) each."""
  losses: dict[str, tuple[list[float], list[float]]] = {}
  for line in lines:
    if 'images_per_second' in line:  # other lines are from validation
      for name in line.keys() - BOOKKEEPING:
        epochs, values = losses.setdefault(name, ([], []))
        epochs.append(line['epoch'])
        values.append(line[name])
  return dict(sorted(losses.items()))


def axis_scale(values: Sequence[float]) -> str:
  """The scale for an axis: 'log' for positive values over a wide range, else 'linear'."""
  return 'log' if min(values) > 0 and max(values) > LOG_SCALE_RATIO * min(values) else 'linear'


def sheet(path: Path, rows: Sequence[str], columns: dict[str, np.ndarray], title: str = '') -> None:
  """Draws a sheet of pictures: one row per image, one column per view of it.

  Args:
    path: the PNG to write.
    rows: label of each row.
    columns: name → uint8 [rows, size, size, 3].
    title: title above the sheet; '' for none.
  """
  figure = Figure(figsize=(1.6 * len(columns) + 1.6, 1.6 * len(rows) + 0.4))
  grid = figure.subplots(len(rows), len(columns), squeeze=False)
  for column, (name, images) in zip(grid.T, columns.items(), strict=True):
    column[0].set_title(name, fontsize=8)
    for axes, image in zip(column, images, strict=True):
      axes.imshow(image)
      axes.set(xticks=[], yticks=[])
  for axes, label in zip(grid[:, 0], rows, strict=True):
    axes.set_ylabel(label, fontsize=7, rotation=0, ha='right', va='center', parse_math=False)
  figure.subplots_adjust(wspace=0.03, hspace=0.03)
  if title:  # clears column names of up to three lines, at any height
    above = figure.subplotpars.top + 0.7 / figure.get_figheight()
    figure.suptitle(title, fontsize=11, y=above, va='bottom')
  save(figure, path, vector=False)


def to_uint8(images: np.ndarray) -> np.ndarray:
  """Maps float [..., size, size, 3] in [-1, 1] to uint8; clips values outside."""
  return np.round(np.clip((images + 1) * 127.5, 0, 255)).astype(np.uint8)


def with_outline(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
  """Draws the outline of a mask, bool [size, size] or None, on an image, uint8 [size, size, 3]."""
  if mask is None or not mask.any():
    return image
  thickness = max(1, len(mask) // 128)
  drawn = image.copy()
  drawn[binary_dilation(mask, iterations=thickness) & ~mask] = OUTLINE
  return drawn


def colorize_map(anomaly_map: np.ndarray, limit: float) -> np.ndarray:
  """Colours an anomaly map: black at 0, full brightness at the limit and above.

  Args:
    anomaly_map: float [size, size].
    limit: from `calibration.map_limit`.

  Returns:
    uint8 [size, size, 3].
  """
  share = np.clip(anomaly_map / max(limit, 1e-12), 0, 1)
  return np.round(matplotlib.colormaps['inferno'](share)[..., :3] * 255).astype(np.uint8)
