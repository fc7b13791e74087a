"""The report of an evaluation: its figures, and one HTML file that needs no other."""

import base64
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ocrgan_jax.core.files import write_text
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.data.images import Photographs
from ocrgan_jax.drawing import figures, pages
from ocrgan_jax.drawing.overlay import tinted
from ocrgan_jax.inference.map_views import drawing_settings
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports.scored_test_set import ScoredTestSet
from ocrgan_jax.scoring.metrics import INTERVAL_METRICS, PIXEL_METRICS

TEMPLATE = Path(__file__).parent / 'templates' / 'report.html.jinja'
SHEET_ROWS = 8
LATENT_IMAGES = 1000  # that the t-SNE of the latent features shows
# Up to so many images → the longer side of their pictures in the report, in pixels: all are in
# it, and it stays under some tens of MB.
PICTURE_SIDES = ((200, 360), (700, 224), (2500, 128), (10**9, 64))
CLASS_NAMES = {NORMAL: 'normal', ANOMALOUS: 'anomalous', UNLABELLED: 'unlabelled'}
METRIC_NAMES = {
  'image_auroc': 'image AUROC',
  'image_ap': 'image average precision',
  'image_f1_max': 'best image F1 (its threshold chosen on these images)',
  'pixel_auroc': 'pixel AUROC',
  'pixel_ap': 'pixel average precision',
  'aupro': 'AUPRO, false positives up to 0.3',
}
# File in `figures` that the report shows → its caption. It draws the histogram itself, and
# `gallery` is for other documents.
FIGURES = {
  'curves': 'What each threshold would catch, and at what cost; trivial scores beside the model.',
  'bands': 'The frequency bands of some images, and what the model made of each. The contrast of '
  'all but the lowest band is raised.',
  'latent': 'Features of the discriminator in two dimensions (Fig. 10 of the paper).',
  'channel_selection': 'How Channel Selection weighs the bands, channel by channel.',
  'losses': 'The losses while the model was trained.',
}


def write_report(
  folder: Path,
  tested: ScoredTestSet,
  *,
  scorer: Scorer,
  metrics: dict[str, Any],
  log: Sequence[dict[str, float]],
) -> None:
  """Draws the figures and writes the report.

  Args:
    folder: where `figures` and `report.html` go.
    tested: the test set with its scores.
    scorer: of the checkpoint.
    metrics: the content of `metrics.json`.
    log: the lines of `metrics.jsonl`.
  """
  pictures = folder / 'figures'
  scaled = scorer.scale(tested.scores.astype(np.float64))
  draw_test_set(pictures, tested, scaled, scorer.calibration.limit, metrics)
  figures.loss_curves(pictures / 'losses.png', log)
  draw_examples(pictures, tested, scorer, scaled)
  config = scorer.config.to_dict()
  html = pages.render(
    TEMPLATE,
    metrics=metrics,
    rows=[
      (METRIC_NAMES[name], metrics[name], metrics.get(f'{name}_interval'))
      for name in (*INTERVAL_METRICS, *PIXEL_METRICS)
      if metrics[name] is not None
    ],
    config=json.dumps(config, indent=2),
    dataset=f'{config["data"]["dataset"]} {config["data"]["category"]}'.strip(),
    figures=[
      (name, caption, inlined(pictures / f'{name}.png', caption))
      for name, caption in FIGURES.items()
      if (pictures / f'{name}.png').exists()
    ],
    photos=photos_of(tested, scaled),
    settings=drawing_settings(scorer),
  )
  write_text(folder / 'report.html', html)


def draw_test_set(
  pictures: Path,
  tested: ScoredTestSet,
  scaled: np.ndarray,
  threshold: float,
  metrics: dict[str, Any],
) -> None:
  """Draws the figures that show the whole test set: histogram, curves, latent features.

  Args:
    pictures: the folder of the figures.
    tested: the test set with its scores.
    scaled: scaled scores, float [images].
    threshold: scaled alike.
    metrics: the content of `metrics.json`.
  """
  labels, auroc = tested.split.labels, metrics['image_auroc']
  title = 'scores of the test set' + ('' if auroc is None else f', AUROC {auroc:.3f}')
  figures.histogram(pictures / 'histogram.png', labels, scaled, threshold, title)
  if auroc is not None:
    known = labels != UNLABELLED
    curves = {'model': scaled[known]}
    for name, values in tested.trivial.items():
      sign = 1 if metrics['trivial_direction'][name] == 'high' else -1
      curves[name.replace('_', ' ')] = sign * values[known]
    figures.roc_and_precision_recall(pictures / 'curves.png', labels[known], curves, threshold)
  some = np.unique(np.linspace(0, len(labels) - 1, LATENT_IMAGES).astype(int))
  if len(some) >= 4:
    figures.latent_features(pictures / 'latent.png', labels[some], tested.features[some])


def draw_examples(
  pictures: Path, tested: ScoredTestSet, scorer: Scorer, scaled: np.ndarray
) -> None:
  """Draws the figures that show single images: gallery, bands, channel weights.

  Args:
    pictures: the folder of the figures.
    tested: the test set with its scores.
    scorer: of the checkpoint.
    scaled: scaled scores, float [images].
  """
  rows = choose_rows(tested.split.labels, scaled)
  views = scorer.explain(tested.images[tested.shown[rows]])
  band_names = [f'band {number + 1}' for number in scorer.model.bands]
  weights = {n: v.swapaxes(0, 1) for n, v in views.items() if n.startswith('cs')}
  if weights:
    stages = dict(sorted(weights.items(), key=lambda item: int(item[0][2:])))
    figures.channel_weights(pictures / 'channel_selection.png', stages, band_names)

  images, limit = figures.to_uint8(views['input']), scorer.map_limit()
  titles = [f'{tested.split.defect_types[i]}\nscore {scaled[i]:.2f}' for i in rows]
  # Masks are of whole photographs, and these may be tiles.
  masks = {} if isinstance(tested.images, Photographs) else tested.masks
  outlined = lambda stack: np.stack(
    [figures.with_outline(image, masks.get(i)) for image, i in zip(stack, rows, strict=True)]
  )
  columns = {'image': outlined(images)}
  if 'reconstruction' in views:
    columns['reconstruction'] = figures.to_uint8(views['reconstruction'])
  columns['anomaly map'] = outlined(
    np.stack([figures.colorize_map(x, limit) for x in views['map']])
  )
  share = views['map'] / max(limit, 1e-12)
  columns['found'] = np.stack([tinted(*pair) for pair in zip(images, share, strict=True)])
  figures.sheet(pictures / 'gallery.png', titles, columns)
  columns = {'image': images}
  for b, name in enumerate(band_names):
    band = views['bands'][:, b]
    # All but the lowest are small around 0, and were flat grey.
    gain = 1.0 if not b else 1 / max(float(np.quantile(np.abs(band), 0.995)), 1e-6)
    columns[name] = figures.to_uint8(gain * band)
    if 'reconstructed_bands' in views:
      columns[f'{name} made'] = figures.to_uint8(gain * views['reconstructed_bands'][:, b])
  figures.sheet(pictures / 'bands.png', titles, columns)


def choose_rows(labels: np.ndarray, scores: np.ndarray) -> list[int]:
  """The images of the sheets: the highest and the lowest scores of each class.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images].

  Returns:
    Indices of up to SHEET_ROWS images, the highest score first within a class,
    anomalous ones first.
  """
  rows: list[int] = []
  for label in (ANOMALOUS, NORMAL, UNLABELLED):
    order = [i for i in np.argsort(-scores, kind='stable') if labels[i] == label]
    half = SHEET_ROWS // 4
    rows += order if len(order) <= 2 * half else order[:half] + order[-half:]
  return [int(i) for i in rows]


def photos_of(tested: ScoredTestSet, scaled: np.ndarray) -> list[dict[str, Any]]:
  """All test images as the report's page takes them.

  Args:
    tested: the test set with its scores and small maps.
    scaled: scaled scores, float [images].

  Returns:
    For each its name, defect type, label and score, and as data URIs its picture, its
    small map and, if it has one, its mask.
  """
  split, photos = tested.split, []
  side = next(side for most, side in PICTURE_SIDES if len(scaled) <= most)
  for i in tqdm(range(len(scaled)), 'drawing', unit='image', leave=False):
    picture = to_rgb(open_image(split.records[i]['image']))
    picture.thumbnail((side, side))
    mask = tested.masks.get(i)
    photos.append(
      {
        'name': split.names[i],
        'type': split.defect_types[i],
        'label': CLASS_NAMES[int(split.labels[i])],
        'score': round(float(scaled[i]), 5),
        'image': uri(picture, 'JPEG', quality=85),
        'map': uri(Image.fromarray(tested.small_maps[i]), 'PNG'),
        'mask': uri(Image.fromarray(mask), 'PNG') if mask is not None and mask.any() else '',
      }
    )
  return photos


def uri(image: Image.Image, kind: str, **options: Any) -> str:
  """An image as a data URI."""
  file = io.BytesIO()
  image.save(file, kind, **options)
  return f'data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}'


def inlined(path: Path, caption: str) -> str:
  """A figure as a part of a page: its SVG if there is one, else its PNG."""
  drawing = path.with_suffix('.svg')
  if drawing.exists():
    svg = drawing.read_text()
    svg = svg[svg.index('<svg') :]
    # Names within an SVG are of the whole page once it is part of one.
    return re.sub(r'(id="|href="#|url\(#)', rf'\g<1>{path.stem}-', svg)
  content = base64.b64encode(path.read_bytes()).decode()
  return f'<img alt="{path.stem}" title="{caption}" src="data:image/png;base64,{content}">'
