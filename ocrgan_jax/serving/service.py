"""A model that is being served: what the server answers about photographs and about the model."""

import asyncio
import base64
import io
import time
from typing import Any

import numpy as np
from PIL import Image

from ocrgan_jax.data.decoding import open_image, small_jpeg, to_rgb
from ocrgan_jax.data.framing import decode_frames
from ocrgan_jax.inference.explanation import how_unusual
from ocrgan_jax.inference.map_views import drawing_settings, small_map
from ocrgan_jax.inference.scorer import SIZES, Scorer
from ocrgan_jax.runs.thumbnails import Thumbnails
from ocrgan_jax.serving.batching import Batcher
from ocrgan_jax.serving.errors import Refused
from ocrgan_jax.serving.meters import Meters

MAP_SIDE = 512  # maximum side of a map; pixels
PREVIEW_SIDE = 1600  # maximum side of a preview; pixels


class Service:
  """Answers the requests about one model.

  Attributes:
    meters: what was answered so far.
  """

  def __init__(self, scorer: Scorer, thumbnails: Thumbnails | None):
    """Compiles the model. With thumbnails, answers show the most similar training photograph."""
    self.meters = Meters(scorer)
    self._scorer, self._thumbnails = scorer, thumbnails
    self._batcher = Batcher(scorer, [size * scorer.mesh.size for size in SIZES])
    self._known = scorer.scale(scorer.calibration.held_out)  # of sound photographs
    self._max_megapixels = scorer.config.data.max_megapixels

  def close(self) -> None:
    """Finishes the photographs that are being scored."""
    self._batcher.close()

  async def score(self, content: bytes, *, with_map: bool) -> dict[str, Any]:
    """The answer to POST /score.

    Args:
      content: the encoded photograph.
      with_map: whether to add its map and the most similar training photograph.

    Raises:
      Refused: if it cannot be decoded.
    """
    start = time.perf_counter()
    scorer = self._scorer
    try:
      frames, size = await asyncio.to_thread(
        decode_frames, content, scorer.framing, self._max_megapixels
      )
    except ValueError as error:
      raise _unreadable(error) from None
    values = await asyncio.wrap_future(self._batcher.submit(frames))
    score = float(scorer.scale(values['score'].max().astype(np.float64)))
    decision = 'anomalous' if score > scorer.calibration.limit else 'normal'
    explanation = await asyncio.to_thread(scorer.explain_photograph, values, size)
    answer: dict[str, Any] = {
      'score': score,
      'decision': decision,
      **explanation._asdict(),
      'unusual': how_unusual(score, self._known, scorer.compared_with),
      'threshold': scorer.calibration.limit,
      'width': size[0],
      'height': size[1],
    }
    if with_map:
      answer['map'] = await asyncio.to_thread(self._map_png, values['map'], size)
      if self._thumbnails:
        answer['similar'] = await asyncio.to_thread(_similar_to, self._thumbnails, content)
    answer['seconds'] = round(time.perf_counter() - start, 4)
    self.meters.add(score, decision, answer['seconds'])
    answer['warning'] = self.meters.warning
    return answer

  async def preview(self, content: bytes) -> bytes:
    """Converts an encoded photograph to a JPEG that browsers can show.

    Raises:
      Refused: if it cannot be decoded.
    """

    def convert() -> bytes:
      return small_jpeg(to_rgb(open_image(content, self._max_megapixels)), PREVIEW_SIDE)

    try:
      return await asyncio.to_thread(convert)
    except ValueError as error:
      raise _unreadable(error) from None

  def describe(self) -> dict[str, Any]:
    """Describes the model to the page, which decides, colours and draws by itself."""
    scorer, data = self._scorer, self._scorer.config.data
    return {
      'name': f'{data.dataset} {data.category}'.strip(),
      'step': scorer.step,
      'image_size': scorer.model.image_size,
      'fit': scorer.framing.fit,
      'held_out': self._known.tolist(),
      **drawing_settings(scorer),
      'warning': self.meters.warning,
    }

  def _map_png(self, maps: np.ndarray, size: tuple[int, int]) -> str:
    """The anomaly map over a whole photograph: a grey PNG in base64, see `overlay.grey_map`."""
    file = io.BytesIO()
    Image.fromarray(small_map(self._scorer, maps, size, MAP_SIDE)).save(file, 'PNG')
    return base64.b64encode(file.getvalue()).decode()


def _unreadable(error: ValueError) -> Refused:
  return Refused(400, f'cannot read the image: {error}')


def _similar_to(thumbnails: Thumbnails, content: bytes) -> dict[str, str]:
  """The most similar training photograph: its name, and its thumbnail as a JPEG in base64."""
  best = thumbnails.most_similar(to_rgb(open_image(content)))
  picture = base64.b64encode(thumbnails.pictures[best]).decode()
  return {'name': thumbnails.names[best], 'picture': picture}
