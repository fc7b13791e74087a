"""The report of an evaluation: figures, and one self-contained HTML file."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ocrgan_jax.core.files import mark_output, write_text
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.drawing import figures, templating
from ocrgan_jax.inference.map_views import drawing_settings
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.reports.scored_test_set import ScoredTestSet
from ocrgan_jax.reports.summary import predicted_alarms, size_of_test_set
from ocrgan_jax.reports.twins import twin_lines
from ocrgan_jax.scoring.metrics import INTERVAL_METRICS, PIXEL_METRICS
from ocrgan_jax.training.log import read_lines

TEMPLATE = Path(__file__).parent / 'templates' / 'report.html.jinja'
SHEET_ENDS = 2  # images at either end of a class's scores that the sheet of bands shows
LATENT_IMAGES = 1000  # most images in the t-SNE of the latent features
# (largest number of images, longer side of their pictures in pixels): the report contains all
# images and stays below some tens of MB.
PICTURE_SIDES = ((200, 360), (700, 224), (2500, 128), (10**9, 64))
CLASS_NAMES = {NORMAL: 'sound', ANOMALOUS: 'anomalous', UNLABELLED: 'unlabelled'}
METRIC_NAMES = {
  'image_auroc': 'image AUROC',
  'image_ap': 'image average precision',
  'image_f1_max': 'best image F1 (threshold selected on these images)',
  'pixel_auroc': 'pixel AUROC',
  'pixel_ap': 'pixel average precision',
  'aupro': 'AUPRO, false positives up to 0.3',
}
# File in `figures` → its caption in the report. All but the first are of networks alone.
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
  workdir: Path,
) -> None:
  """Draws the figures and writes the report.

  Args:
    folder: receives `figures` and `report.html`.
    tested: the test set with its scores.
    scorer: of the checkpoint.
    metrics: the content of `metrics.json`.
    workdir: the run's folder.
  """
  pictures = folder / 'figures'
  mark_output(pictures)
  for name in FIGURES:  # an earlier evaluation may have drawn others
    for path in pictures.glob(f'{name}.*'):
      path.unlink()
  scaled = scorer.scale(tested.scores.astype(np.float64))
  _draw_curves(pictures, tested, scaled, metrics)
  if scorer.model.trains:
    _draw_networks(pictures, tested, scaled, scorer)
    figures.loss_curves(pictures / 'losses.png', read_lines(workdir / 'metrics.jsonl'))
  config = scorer.config.to_dict()
  data = config['data']
  # The dataset `folder` is whatever the user has: the run's name says more.
  product = workdir.name if data['dataset'] == 'folder' else f'{data["dataset"]} {data["category"]}'
  html = templating.render(
    TEMPLATE,
    product=product.strip(),
    metrics=metrics,
    size=size_of_test_set(metrics),
    predicted_alarms=predicted_alarms(metrics),
    twins=twin_lines(metrics),
    networks=scorer.model.trains,
    compared_with=scorer.compared_with,
    rows=[
      (METRIC_NAMES[name], metrics[name], metrics.get(f'{name}_interval'))
      for name in (*INTERVAL_METRICS, *PIXEL_METRICS)
      if metrics[name] is not None
    ],
    config=json.dumps(config, indent=2),
    figures=[
      (name, caption, _inline_figure(pictures / f'{name}.png', caption))
      for name, caption in FIGURES.items()
      if (pictures / f'{name}.png').exists()
    ],
    photos=_photos(tested, scaled),
    settings=drawing_settings(scorer),
  )
  write_text(folder / 'report.html', html)


def _draw_curves(
  pictures: Path, tested: ScoredTestSet, scaled: np.ndarray, metrics: dict[str, Any]
) -> None:
  """Draws the curves of the model and of the trivial scores, if both classes occur."""
  if metrics['image_auroc'] is None:
    return
  known = tested.split.labels != UNLABELLED
  curves = {'model': scaled[known]}
  for name, values in tested.trivial.items():
    sign = 1 if metrics['trivial_direction'][name] == 'high' else -1
    curves[name.replace('_', ' ')] = sign * values[known]
  figures.roc_and_precision_recall(
    pictures / 'curves.png', tested.split.labels[known], curves, metrics['threshold']
  )


def _draw_networks(
  pictures: Path, tested: ScoredTestSet, scaled: np.ndarray, scorer: Scorer
) -> None:
  """Draws what the networks make of some images: bands, channel weights, latent features."""
  rows = choose_rows(tested.split.labels, scaled)
  views = scorer.views(tested.images[tested.shown[rows]])
  assert isinstance(scorer.model, OCRGAN)
  band_names = [f'band {number + 1}' for number in scorer.model.bands]
  weights = {n: v.swapaxes(0, 1) for n, v in views.items() if n.startswith('cs')}
  if weights:
    stages = dict(sorted(weights.items(), key=lambda item: int(item[0][2:])))
    figures.channel_weights(pictures / 'channel_selection.png', stages, band_names)

  columns = {
    'image': figures.to_uint8(views['input']),
    'reconstruction': figures.to_uint8(views['reconstruction']),
  }
  for b, name in enumerate(band_names):
    band = views['bands'][:, b]
    # All but the lowest band have small values around 0; without a gain they look plain grey.
    gain = 1.0 if not b else 1 / max(float(np.quantile(np.abs(band), 0.995)), 1e-6)
    columns[name] = figures.to_uint8(gain * band)
    columns[f'{name} reconstructed'] = figures.to_uint8(gain * views['reconstructed_bands'][:, b])
  titles = [f'{tested.split.defect_types[i]}\nscore {scaled[i]:.2f}' for i in rows]
  figures.sheet(pictures / 'bands.png', titles, columns)

  some = np.unique(np.linspace(0, len(scaled) - 1, LATENT_IMAGES).astype(int))
  if len(tested.latent) and len(some) >= 4:
    figures.latent_features(pictures / 'latent.png', tested.split.labels[some], tested.latent[some])


def choose_rows(labels: np.ndarray, scores: np.ndarray) -> list[int]:
  """Chooses the images for the sheet: of each class, those with the highest and lowest scores.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images].

  Returns:
    Indices of up to 2 SHEET_ENDS images of the anomalous, then the normal and the unlabelled ones;
    the highest score first within a class.
  """
  rows: list[int] = []
  for label in (ANOMALOUS, NORMAL, UNLABELLED):
    order = [int(i) for i in np.argsort(-scores, kind='stable') if labels[i] == label]
    rows += order if len(order) <= 2 * SHEET_ENDS else order[:SHEET_ENDS] + order[-SHEET_ENDS:]
  return rows


def _photos(tested: ScoredTestSet, scaled: np.ndarray) -> list[dict[str, Any]]:
  """All photographs for the page; their pictures, small maps and masks are data URIs."""
  split, photos = tested.split, []
  side = next(side for most, side in PICTURE_SIDES if len(scaled) <= most)
  for i in tqdm(range(len(scaled)), 'drawing', unit='photograph', leave=False):
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
        'image': _data_uri(picture, 'JPEG', quality=85),
        'map': _data_uri(Image.fromarray(tested.small_maps[i]), 'PNG'),
        'mask': _data_uri(Image.fromarray(mask), 'PNG') if mask is not None and mask.any() else '',
      }
    )
  return photos


def _data_uri(image: Image.Image, kind: str, **options: Any) -> str:
  """Encodes an image as a data URI."""
  file = io.BytesIO()
  image.save(file, kind, **options)
  return f'data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}'


def _inline_figure(path: Path, caption: str) -> str:
  """Returns a figure as HTML: its SVG if there is one, else its PNG."""
  drawing = path.with_suffix('.svg')
  if drawing.exists():
    svg = drawing.read_text()
    svg = svg[svg.index('<svg') :]
    # An inlined SVG shares its ids with the whole page, so make them unique.
    return re.sub(r'(id="|href="#|url\(#)', rf'\g<1>{path.stem}-', svg)
  content = base64.b64encode(path.read_bytes()).decode()
  return f'<img alt="{path.stem}" title="{caption}" src="data:image/png;base64,{content}">'
