"""The report of an evaluation: figures, and one self-contained HTML file."""

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

from ocrgan_jax.core.files import mark_output, write_text
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.data.images import Photographs
from ocrgan_jax.drawing import figures, templating
from ocrgan_jax.drawing.overlay import tinted
from ocrgan_jax.inference.map_views import drawing_settings
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.reports.scored_test_set import ScoredTestSet
from ocrgan_jax.scoring.metrics import INTERVAL_METRICS, PIXEL_METRICS

TEMPLATE = Path(__file__).parent / 'templates' / 'report.html.jinja'
SHEET_ROWS = 8
LATENT_IMAGES = 1000  # most images in the t-SNE of the latent features
# (largest number of images, longer side of their pictures in pixels): the report contains all
# images and stays below some tens of MB.
PICTURE_SIDES = ((200, 360), (700, 224), (2500, 128), (10**9, 64))
CLASS_NAMES = {NORMAL: 'normal', ANOMALOUS: 'anomalous', UNLABELLED: 'unlabelled'}
METRIC_NAMES = {
  'image_auroc': 'image AUROC',
  'image_ap': 'image average precision',
  'image_f1_max': 'best image F1 (threshold selected on these images)',
  'pixel_auroc': 'pixel AUROC',
  'pixel_ap': 'pixel average precision',
  'aupro': 'AUPRO, false positives up to 0.3',
}
# File in `figures` → its caption in the report. The report draws the histogram itself; `gallery`
# is meant for other documents.
FIGURES = {
  'curves': 'Detection rate, false alarms and precision over all thresholds, for the model and the '
  'trivial scores.',
  'bands': 'The frequency bands of some images and their reconstructions. The contrast of all but '
  'the lowest band is raised.',
  'latent': 'Features of the discriminator in two dimensions (Fig. 10 of the paper).',
  'channel_selection': 'The weights that Channel Selection gives each band, by channel.',
  'losses': 'The losses during training.',
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
    folder: receives `figures` and `report.html`.
    tested: the test set with its scores.
    scorer: of the checkpoint.
    metrics: the content of `metrics.json`.
    log: the lines of `metrics.jsonl`.
  """
  pictures = folder / 'figures'
  mark_output(pictures)
  scaled = scorer.scale(tested.scores.astype(np.float64))
  draw_test_set(pictures, tested, scaled, scorer.calibration.limit, metrics)
  figures.loss_curves(pictures / 'losses.png', log)
  draw_examples(pictures, tested, scorer, scaled)
  config = scorer.config.to_dict()
  html = templating.render(
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
      (name, caption, inline_figure(pictures / f'{name}.png', caption))
      for name, caption in FIGURES.items()
      if (pictures / f'{name}.png').exists()
    ],
    photos=page_photos(tested, scaled),
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
  """Draws the figures of the whole test set: histogram, curves, latent features.

  Args:
    pictures: the folder of the figures.
    tested: the test set with its scores.
    scaled: scaled scores, float [images].
    threshold: scaled threshold.
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
  """Draws the figures of single images: gallery, bands, channel weights.

  Args:
    pictures: the folder of the figures.
    tested: the test set with its scores.
    scorer: of the checkpoint.
    scaled: scaled scores, float [images].
  """
  rows = choose_rows(tested.split.labels, scaled)
  views = scorer.explain(tested.images[tested.shown[rows]])
  bands = scorer.model.bands if isinstance(scorer.model, OCRGAN) else ()
  band_names = [f'band {number + 1}' for number in bands]
  weights = {n: v.swapaxes(0, 1) for n, v in views.items() if n.startswith('cs')}
  if weights:
    stages = dict(sorted(weights.items(), key=lambda item: int(item[0][2:])))
    figures.channel_weights(pictures / 'channel_selection.png', stages, band_names)

  images, limit = figures.to_uint8(views['input']), scorer.map_limit()
  titles = [f'{tested.split.defect_types[i]}\nscore {scaled[i]:.2f}' for i in rows]
  # Masks cover whole photographs, which tiles do not.
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
  if not band_names:
    return
  columns = {'image': images}
  for b, name in enumerate(band_names):
    band = views['bands'][:, b]
    # All but the lowest band have small values around 0; without a gain they look plain grey.
    gain = 1.0 if not b else 1 / max(float(np.quantile(np.abs(band), 0.995)), 1e-6)
    columns[name] = figures.to_uint8(gain * band)
    if 'reconstructed_bands' in views:
      columns[f'{name} reconstructed'] = figures.to_uint8(gain * views['reconstructed_bands'][:, b])
  figures.sheet(pictures / 'bands.png', titles, columns)


def choose_rows(labels: np.ndarray, scores: np.ndarray) -> list[int]:
  """Chooses the images for the sheets: those with the highest and lowest scores of each class.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images].

  Returns:
    Indices of up to SHEET_ROWS / 2 images per class: anomalous, normal, unlabelled; the highest
    score first within a class.
  """
  rows: list[int] = []
  for label in (ANOMALOUS, NORMAL, UNLABELLED):
    order = [i for i in np.argsort(-scores, kind='stable') if labels[i] == label]
    half = SHEET_ROWS // 4
    rows += order if len(order) <= 2 * half else order[:half] + order[-half:]
  return [int(i) for i in rows]


def page_photos(tested: ScoredTestSet, scaled: np.ndarray) -> list[dict[str, Any]]:
  """Prepares all test images for the report's page.

  Args:
    tested: the test set with its scores and small maps.
    scaled: scaled scores, float [images].

  Returns:
    For each image its name, defect type, label, score and what was seen, and as data URIs its
    picture, its small map and, if there is one, its mask.
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
        'why': tested.why[i],
        'image': data_uri(picture, 'JPEG', quality=85),
        'map': data_uri(Image.fromarray(tested.small_maps[i]), 'PNG'),
        'mask': data_uri(Image.fromarray(mask), 'PNG') if mask is not None and mask.any() else '',
      }
    )
  return photos


def data_uri(image: Image.Image, kind: str, **options: Any) -> str:
  """Encodes an image as a data URI."""
  file = io.BytesIO()
  image.save(file, kind, **options)
  return f'data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}'


def inline_figure(path: Path, caption: str) -> str:
  """Returns a figure as HTML: its SVG if there is one, else its PNG."""
  drawing = path.with_suffix('.svg')
  if drawing.exists():
    svg = drawing.read_text()
    svg = svg[svg.index('<svg') :]
    # An inlined SVG shares its ids with the whole page, so make them unique.
    return re.sub(r'(id="|href="#|url\(#)', rf'\g<1>{path.stem}-', svg)
  content = base64.b64encode(path.read_bytes()).decode()
  return f'<img alt="{path.stem}" title="{caption}" src="data:image/png;base64,{content}">'
