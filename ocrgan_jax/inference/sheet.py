"""The page that shows all pictures of `ocrgan predict --maps`."""

import os
import urllib.parse
from pathlib import Path

from ocrgan_jax.core.files import write_text
from ocrgan_jax.drawing import overlay, templating
from ocrgan_jax.inference.prediction import Prediction

TEMPLATE = Path(__file__).parent / 'templates' / 'sheet.html.jinja'


def write_sheet(
  folder: Path, predictions: list[Prediction], limit: float, compared_with: str
) -> Path:
  """Writes a page of all pictures, the most anomalous image first.

  Args:
    folder: of the pictures.
    predictions: of the images; unreadable ones are listed at the top.
    limit: scaled score above which images are anomalous.
    compared_with: the photographs that score up to 1, `Scorer.compared_with`.

  Returns:
    The page's path.
  """
  page = templating.render(
    TEMPLATE,
    unreadable=[p for p in predictions if p.error],
    shown=sorted((p for p in predictions if p.map), key=lambda p: -p.score),
    limit=limit,
    compared_with=compared_with,
    faint=overlay.FAINT,
    full=overlay.FULL,
    short=lambda p: '/'.join(Path(p.path).parts[-2:]),
    link=lambda p: urllib.parse.quote(os.fsencode(Path(p.map).name)),
  )
  write_text(folder / 'index.html', page)
  return folder / 'index.html'
