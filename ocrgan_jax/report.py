"""The report of an evaluation: its figures, and one HTML file that needs no other."""

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
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.data.pipeline import Photographs
from ocrgan_jax.metrics import INTERVAL_METRICS, PIXEL_METRICS
from ocrgan_jax.scored_test_set import ScoredTestSet
from ocrgan_jax.scorer import Scorer
from ocrgan_jax.writer import write_text

SHEET_ROWS = 8
GALLERY = 64  # images that the report shows
LATENT_IMAGES = 1000  # that the t-SNE of the latent features shows
CLASS_NAMES = {NORMAL: 'normal', ANOMALOUS: 'anomalous', UNLABELLED: 'unlabelled'}
METRIC_NAMES = {
  'image_auroc': 'image AUROC',
  'image_ap': 'image average precision',
  'image_f1_max': 'best image F1 (its threshold chosen on these images)',
  'pixel_auroc': 'pixel AUROC',
  'pixel_ap': 'pixel average precision',
  'aupro': 'AUPRO, false positives up to 0.3',
}
# File in `figures` → its caption.
FIGURES = {
  'histogram': 'Scores of the test images (Fig. 8 of the paper). The further apart, the better.',
  'curves': 'What each threshold would catch, and at what cost; trivial scores beside the model.',
  'gallery': 'The highest and lowest scores of each class. Green: outline of the mask.',
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
  scaled = scorer.scale(tested.scores)
  threshold = float(scorer.scale(np.array(scorer.calibration.threshold)))
  draw_test_set(pictures, tested, scaled, threshold, metrics)
  figures.loss_curves(pictures / 'losses.png', log)
  cards = draw_examples(pictures, tested, scorer, scaled, threshold)
  html = render(
    metrics=metrics,
    config=scorer.config.to_dict(),
    pictures=pictures,
    cards=cards,
    num_images=len(scaled),
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
  pictures: Path,
  tested: ScoredTestSet,
  scorer: Scorer,
  scaled: np.ndarray,
  threshold: float,
) -> list[Card]:
  """Draws the figures that show single images: gallery, bands, channel weights.

  Args:
    pictures: the folder of the figures.
    tested: the test set with its scores.
    scorer: of the checkpoint.
    scaled: scaled scores, float [images].
    threshold: scaled alike.

  Returns:
    The cards of the report's gallery, the worst error first.
  """
  labels = tested.split.labels
  errors = errors_of(labels, scaled, threshold)
  gallery, rows = choose_gallery(errors), choose_rows(labels, scaled)
  shown = np.union1d(gallery, rows)
  views = scorer.explain(tested.images[tested.shown[shown]])
  band_names = [f'band {number + 1}' for number in scorer.model.bands]
  weights = {n: v.swapaxes(0, 1) for n, v in views.items() if n.startswith('cs')}
  if weights:
    stages = dict(sorted(weights.items(), key=lambda item: int(item[0][2:])))
    figures.channel_weights(pictures / 'channel_selection.png', stages, band_names)

  images = figures.to_uint8(views['input'])
  maximum = scorer.calibration.map_maximum
  cards = {}
  for k, i in enumerate(shown.tolist()):
    # Masks are of whole photographs, and these may be tiles.
    mask = None if isinstance(tested.images, Photographs) else tested.masks.get(i)
    outline = functools.partial(figures.outlined, mask=mask)
    anomaly_map, made = views['map'][k], {}
    if 'reconstruction' in views:
      made['reconstruction'] = figures.to_uint8(views['reconstruction'][k])
    cards[i] = Card(
      name=tested.split.names[i],
      defect_type=tested.split.defect_types[i],
      label=CLASS_NAMES[int(labels[i])],
      score=float(scaled[i]),
      error=float(errors[i]),
      views={
        'image': outline(images[k]),
        **made,
        'anomaly map': outline(figures.heated(anomaly_map, maximum)),
        'found': figures.overlaid(images[k], anomaly_map, maximum),
      },
    )
  titles = [f'{cards[i].defect_type}\nscore {cards[i].score:.2f}' for i in rows]
  columns = {name: np.stack([cards[i].views[name] for i in rows]) for name in cards[rows[0]].views}
  figures.sheet(pictures / 'gallery.png', titles, columns)
  in_sheet = np.searchsorted(shown, rows)
  columns = {'image': images[in_sheet]}
  for b, name in enumerate(band_names):
    columns[name] = figures.to_uint8(views['bands'][in_sheet, b])
    if 'reconstructed_bands' in views:
      columns[f'{name} made'] = figures.to_uint8(views['reconstructed_bands'][in_sheet, b])
  figures.sheet(pictures / 'bands.png', titles, columns)
  return [cards[i] for i in gallery]


def errors_of(labels: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
  """How far on the wrong side of the threshold each image lies.

  Args:
    labels: int [images], 1 for anomalous.
    scores: float [images].
    threshold: of the same scale.

  Returns:
    float [images], positive for wrong decisions; for an unlabelled image, minus its
    distance from the threshold, so that the doubtful ones come first.
  """
  margin = scores - threshold
  return np.where(labels == ANOMALOUS, -margin, np.where(labels == NORMAL, margin, -abs(margin)))


def choose_gallery(errors: np.ndarray) -> list[int]:
  """The images of the report: all, or the worst errors and as many spread over the rest.

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
  """The images of the sheets: the highest and the lowest scores of each class.

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


def render(
  *,
  metrics: dict[str, Any],
  config: dict[str, Any],
  pictures: Path,
  cards: Sequence[Card],
  num_images: int,
) -> str:
  """The report as HTML.

  Args:
    metrics: the content of `metrics.json`.
    config: of the run, as it was scored.
    pictures: the folder of the figures; missing ones are left out.
    cards: of the gallery, in the order in which they are first shown.
    num_images: of the whole test set.

  Returns:
    The whole page.
  """
  loader = jinja2.FileSystemLoader(Path(__file__).parent)
  environment = jinja2.Environment(
    loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
  )
  environment.filters['jpeg'] = _jpeg
  environment.filters['number'] = lambda x: 'none' if x is None else f'{x:.3f}'
  files = {name: pictures / f'{name}.png' for name in FIGURES}
  return environment.get_template('report.html.jinja').render(
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
      for name, file in files.items()
      if file.exists()
    ],
    cards=cards,
    num_images=num_images,
  )


def _jpeg(image: np.ndarray) -> str:
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=90)
  return _uri(file.getvalue(), 'jpeg')


def _uri(content: bytes, kind: str) -> str:
  return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
