"""The page that shows all pictures of `ocrgan predict --maps`."""

import os
import urllib.parse
from pathlib import Path

from ocrgan_jax.core.files import write_text
from ocrgan_jax.drawing import overlay, templating
from ocrgan_jax.inference.prediction import Prediction

TEMPLATE = Path(__file__).parent / 'templates' / 'sheet.html.jinja'


def write_sheet(
  folder: Path,
  readable: list[Prediction],
  unreadable: list[Prediction],
  limit: float,
  meaning: str,
) -> Path:
  """Writes the page into the folder of the pictures, and returns its path.

  Args:
    folder: of the pictures.
    readable: in the order of the page; those without a picture are left out.
    unreadable: listed at the top.
    limit: scaled score above which images are anomalous.
    meaning: what a score of 1 means.
  """
  page = templating.render(
    TEMPLATE,
    unreadable=unreadable,
    shown=[p for p in readable if p.map],
    limit=limit,
    meaning=meaning,
    faint=overlay.FAINT,
    full=overlay.FULL,
    short=lambda p: '/'.join(Path(p.path).parts[-2:]),
    link=lambda p: urllib.parse.quote(os.fsencode(Path(p.map).name)),
  )
  write_text(folder / 'index.html', page)
  return folder / 'index.html'
