"""The report of an evaluation: one HTML file that needs no other."""

import base64
import functools
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from PIL import Image

from ocrgan_jax import figures
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.data.pipeline import Images
from ocrgan_jax.metrics import INTERVAL_METRICS, PIXEL_METRICS
from ocrgan_jax.scorer import Scorer
from ocrgan_jax.writer import write_text

SHEET_ROWS = 8
GALLERY = 64  # images that the report shows
LATENT_IMAGES = 1000  # that the t-SNE of the latent features shows
CLASS_NAMES = {NORMAL: 'normal', ANOMALOUS: 'anomalous', UNLABELLED: 'unlabelled'}
METRIC_NAMES = {
  'image_auroc': 'AUROC of images',
  'image_ap': 'average precision of images',
  'image_f1_max': 'best F1 of images (its threshold chosen on these images)',
  'pixel_auroc': 'AUROC of pixels',
  'pixel_ap': 'average precision of pixels',
  'aupro': 'AUPRO, false positives up to 0.3',
}
# File in `figures` → what stands under it.
FIGURES = {
  'histogram': 'Scores of the test images (Fig. 8 of the paper). The further apart, the better.',
  'curves': 'What each threshold would catch, and at what price; trivial scores beside the model.',
  'gallery': 'The highest and lowest scores of either class. Green: outline of the mask.',
  'bands': 'The frequency bands of the same images, and what the model made of each.',
  'latent': 'Latent features of the discriminator in two dimensions (Fig. 10).',
  'channel_selection': 'How Channel Selection weighs the bands, channel by channel.',
  'losses': 'The losses while the model was trained.',
}


class Card(NamedTuple):
  """One image of the gallery.

  Attributes:
    name: its path in the dataset.
    defect_type: 'good' for normal images.
    label: 'normal', 'anomalous' or 'unlabelled'.
    score: scaled.
    error: how far on the wrong side of the threshold, see `errors_of`.
    views: name → uint8 [size, size, 3].
  """

  name: str
  defect_type: str
  label: str
  score: float
  error: float
  views: dict[str, np.ndarray]


def draw(
  folder: Path,
  *,
  scorer: Scorer,
  images: Images,
  test: Split,
  masks: dict[int, np.ndarray],
  scores: np.ndarray,
  features: np.ndarray,
  trivial: dict[str, np.ndarray],
  metrics: dict[str, Any],
  log: Sequence[dict[str, float]],
) -> None:
  """Draws the figures and writes the report.

  Args:
    folder: where `figures` and `report.html` go.
    scorer: of the checkpoint.
    images: of the test set.
    test: the test set.
    masks: index of the image → bool [size, size].
    scores: raw, float [images].
    features: D's latent features, float [images, 100].
    trivial: name → trivial scores, float [images].
    metrics: of `metrics.json`.
    log: the lines of `metrics.jsonl`.
  """
  labels, scaled = test.labels, scorer.scale(scores)
  known = labels != UNLABELLED
  threshold = float(scorer.scale(np.array(scorer.calibration.threshold)))
  pictures = folder / 'figures'
  auroc = metrics['image_auroc']
  title = 'scores of the test set' + ('' if auroc is None else f', AUROC {auroc:.3f}')
  figures.histogram(pictures / 'histogram.png', labels, scaled, threshold, title)
  figures.loss_curves(pictures / 'losses.png', log)
  if auroc is not None:
    curves = {'model': scaled}
    for name, values in trivial.items():
      sign = 1 if metrics['trivial_direction'][name] == 'high' else -1
      curves[name.replace('_', ' ')] = sign * values
    curves = {name: values[known] for name, values in curves.items()}
    figures.roc_and_precision_recall(pictures / 'curves.png', labels[known], curves, threshold)
  some = np.unique(np.linspace(0, len(labels) - 1, LATENT_IMAGES).astype(int))
  if len(some) >= 4:
    figures.latent_features(pictures / 'latent.png', labels[some], features[some])

  errors = errors_of(labels, scaled, threshold)
  gallery, rows = choose_gallery(errors), choose_rows(labels, scaled)
  shown = np.union1d(gallery, rows)
  views = scorer.explain(images[shown])
  band_names = [f'band {number + 1}' for number in scorer.model.bands]
  weights = {n: v.swapaxes(0, 1) for n, v in views.items() if n.startswith('cs')}
  if weights:
    stages = dict(sorted(weights.items(), key=lambda item: int(item[0][2:])))
    figures.channel_weights(pictures / 'channel_selection.png', stages, band_names)

  limit, inputs = scorer.calibration.map_maximum, figures.to_uint8(views['input'])
  made = figures.to_uint8(views['reconstruction'])
  cards = {}
  for place, i in enumerate(shown.tolist()):
    outline = functools.partial(figures.outlined, mask=masks.get(i))
    anomaly_map = views['map'][place]
    cards[i] = Card(
      name=test.names[i],
      defect_type=test.defect_types[i],
      label=CLASS_NAMES[int(labels[i])],
      score=float(scaled[i]),
      error=float(errors[i]),
      views={
        'image': outline(inputs[place]),
        'reconstruction': made[place],
        'anomaly map': outline(figures.heated(anomaly_map, limit)),
        'found': figures.overlaid(inputs[place], anomaly_map, limit),
      },
    )
  titles = [f'{cards[i].defect_type}\nscore {cards[i].score:.2f}' for i in rows]
  columns = {name: np.stack([cards[i].views[name] for i in rows]) for name in cards[rows[0]].views}
  figures.sheet(pictures / 'gallery.png', titles, columns)
  places = np.searchsorted(shown, rows)
  columns = {'image': inputs[places]}
  for b, name in enumerate(band_names):
    columns[name] = figures.to_uint8(views['bands'][places, b])
    columns[f'{name} made'] = figures.to_uint8(views['reconstructed_bands'][places, b])
  figures.sheet(pictures / 'bands.png', titles, columns)
  write(
    folder / 'report.html',
    metrics=metrics,
    config=scorer.config.to_dict(),
    pictures=pictures,
    cards=[cards[i] for i in gallery],
    num_images=len(labels),
  )


def errors_of(labels: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
  """How far on the wrong side of the threshold each image lies.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images].
    threshold: of the same scale.

  Returns:
    float [images], over 0 for wrong decisions; that of an unlabelled image is minus
    its distance from the threshold, so that the doubtful ones come first.
  """
  margin = scores - threshold
  return np.where(labels == ANOMALOUS, -margin, np.where(labels == NORMAL, margin, -abs(margin)))


def choose_gallery(errors: np.ndarray) -> list[int]:
  """The images of the report: all, or half the worst errors and half of all kinds.

  Args:
    errors: from `errors_of`.

  Returns:
    Indices of up to GALLERY images, the worst error first.
  """
  order = np.argsort(-errors, kind='stable')
  if len(order) <= GALLERY:
    return order.tolist()
  rest = order[GALLERY // 2 :]
  spread = rest[np.linspace(0, len(rest) - 1, GALLERY // 2).astype(int)]
  return [*order[: GALLERY // 2].tolist(), *spread.tolist()]


def choose_rows(labels: np.ndarray, scores: np.ndarray) -> list[int]:
  """The images worth a look, by index: of either class the highest and the lowest scores.

  Args:
    labels: int [images].
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


def write(
  path: Path,
  *,
  metrics: dict[str, Any],
  config: dict[str, Any],
  pictures: Path,
  cards: Sequence[Card],
  num_images: int,
) -> None:
  """Writes the report, whole or not at all.

  Args:
    path: of the HTML file.
    metrics: of `metrics.json`.
    config: of the run, as it was scored.
    pictures: the folder of the figures; those that are not there are left out.
    cards: of the gallery, in the order that they are shown in first.
    num_images: of the whole test set.
  """
  loader = jinja2.FileSystemLoader(Path(__file__).parent)
  environment = jinja2.Environment(
    loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
  )
  environment.filters['jpeg'] = _jpeg
  environment.filters['number'] = lambda x: 'none' if x is None else f'{x:.3f}'
  found = {name: pictures / f'{name}.png' for name in FIGURES}
  html = environment.get_template('report.html.jinja').render(
    metrics=metrics,
    rows=[
      (METRIC_NAMES[name], metrics[name], metrics.get(f'{name}_interval'))
      for name in (*INTERVAL_METRICS, *PIXEL_METRICS)
      if metrics[name] is not None
    ],
    config=json.dumps(config, indent=2),
    dataset=f'{config["data"]["dataset"]} {config["data"]["category"]}'.strip(),
    figures=[
      (name, FIGURES[name], _uri(file.read_bytes(), 'png'))
      for name, file in found.items()
      if file.exists()
    ],
    cards=cards,
    num_images=num_images,
  )
  write_text(path, html)


def _jpeg(image: np.ndarray) -> str:
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=90)
  return _uri(file.getvalue(), 'jpeg')


def _uri(content: bytes, kind: str) -> str:
  return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
