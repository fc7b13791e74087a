"""The HTTP server of a trained model: a page for people, an API for machines.

  POST /score     an image → score, decision and why; ?map=true adds the anomaly map
  POST /preview   an image → a JPEG that any browser shows
  GET  /model     threshold, scale, scores of held-out normal images
  GET  /health    whether the server is up
  GET  /metrics   Prometheus text format
  GET  /          the page

An image is the body itself, or the file of a form (`curl -F file=@x.png`). Bad requests get status
4xx and one line, `{"error": …}`. No image, name or token is logged.
"""

import asyncio
import base64
import contextlib
import hmac
import io
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from PIL import Image
from prometheus_client import (
  CONTENT_TYPE_LATEST,
  CollectorRegistry,
  Counter,
  Gauge,
  Histogram,
  generate_latest,
)
from scipy.stats import ks_2samp
from starlette.exceptions import HTTPException

from ocrgan_jax import __version__
from ocrgan_jax.data.decoding import open_image, small_jpeg, to_rgb
from ocrgan_jax.data.framing import decode_frames
from ocrgan_jax.drawing import templating
from ocrgan_jax.inference.explanation import how_unusual
from ocrgan_jax.inference.map_views import drawing_settings, small_map
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.shift import RECENT, RecentScores
from ocrgan_jax.runs.thumbnails import Thumbnails
from ocrgan_jax.serving.batching import Batcher
from ocrgan_jax.serving.uploads import BODY, photograph_of, with_http_manners

SIZES = (1, 4, 8, 16)  # batch sizes per device
WAITING = 256  # maximum number of concurrent requests; others get 503
MAP_SIDE = 512  # maximum side of a map; pixels
PREVIEW_SIDE = 1600  # maximum side of a preview; pixels
PAGE = Path(__file__).parent / 'templates' / 'page.html.jinja'


class Refused(Exception):  # noqa: N818
  """A refused request.

  Attributes:
    status: the HTTP status.
    message: one line for the client.
    headers: extra headers of the response.
  """

  def __init__(self, status: int, message: str, **headers: str):
    """Stores the attributes."""
    super().__init__(message)
    self.status, self.message, self.headers = status, message, headers


def create_app(
  scorer: Scorer,
  *,
  token: str = '',
  max_mib: float = 32.0,
  root_path: str = '',
  thumbnails: Thumbnails | None = None,
) -> FastAPI:
  """Creates the application and compiles its model.

  Args:
    scorer: the model.
    token: requests must send it as `Authorization: Bearer …`; '' for none.
    max_mib: larger uploads are refused; MiB.
    root_path: the prefix of a proxy, e.g. /inspection; '' for none. Requests may have it or not.
    thumbnails: of the training photographs, to show the most similar one.

  Returns:
    The application, for any ASGI server.
  """
  batcher = Batcher(scorer, [size * scorer.mesh.size for size in SIZES])
  meters = Meters(scorer)
  held_out = scorer.scale(scorer.calibration.held_out)

  @contextlib.asynccontextmanager
  async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(batcher.close)

  app = FastAPI(title='OCR-GAN', version=__version__, lifespan=lifespan, root_path=root_path)
  # Only for the API's description: `authorise` checks the token and words the refusal.
  secured = [Security(HTTPBearer(auto_error=False))] if token else []

  @app.exception_handler(Refused)
  async def refuse(request: Request, error: Refused) -> JSONResponse:
    return JSONResponse({'error': error.message}, error.status, error.headers)

  @app.exception_handler(HTTPException)
  async def refuse_route(request: Request, error: HTTPException) -> JSONResponse:
    message = f'{request.method} {request.url.path}: {error.detail}'
    return JSONResponse({'error': message}, error.status_code, error.headers)

  @app.exception_handler(RequestValidationError)
  async def refuse_query(request: Request, error: RequestValidationError) -> JSONResponse:
    found = [f'{".".join(map(str, fault["loc"]))}: {fault["msg"]}' for fault in error.errors()]
    return JSONResponse({'error': '; '.join(found)}, 400)

  @app.middleware('http')
  async def count(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
  ) -> Response:
    response = await call_next(request)
    if request.url.path.removeprefix(root_path) == '/score':
      meters.requests.labels(str(response.status_code)).inc()
    return response

  app.add_middleware(with_http_manners)  # added last, so it is outermost

  def authorise(request: Request) -> None:
    sent = request.headers.get('authorization', '').removeprefix('Bearer ')
    if token and not hmac.compare_digest(sent.encode(), token.encode()):
      raise Refused(401, 'this server requires a token: send Authorization: Bearer …')

  async def body(request: Request) -> bytes:
    """Reads the uploaded photograph; stops as soon as there is too much."""
    too_large = Refused(413, f'the image is larger than {max_mib:g} MiB', connection='close')
    stated = request.headers.get('content-length', '')
    if stated.isdecimal() and int(stated) > max_mib * 2**20:
      raise too_large
    parts, total = [], 0
    async for part in request.stream():
      total += len(part)
      if total > max_mib * 2**20:
        raise too_large
      parts.append(part)
    try:
      content = photograph_of(b''.join(parts), request.headers.get('content-type', ''))
    except ValueError as error:
      raise Refused(400, str(error)) from None
    if not content:
      raise Refused(400, "no image: send its bytes as the body, or a form with it as 'file'")
    return content

  @app.post('/score', openapi_extra=BODY, dependencies=secured)
  async def score(request: Request, map: bool = False) -> dict[str, Any]:
    authorise(request)
    if meters.waiting >= WAITING:
      raise Refused(503, 'too many requests at a time: try again', **{'retry-after': '1'})
    with meters.count_waiting():
      content = await body(request)
      start = time.perf_counter()
      try:
        limit = scorer.config.data.max_megapixels
        frames, size = await asyncio.to_thread(decode_frames, content, scorer.framing, limit)
      except ValueError as error:
        raise Refused(400, f'cannot read the image: {error}') from None
      values = await asyncio.wrap_future(batcher.submit(frames))
      value = float(scorer.scale(values['score'].max().astype(np.float64)))
      decision = 'anomalous' if value > scorer.calibration.limit else 'normal'
      explanation = await asyncio.to_thread(scorer.explain_photograph, values, size)
      found: dict[str, Any] = {
        'score': value,
        'decision': decision,
        'reason': explanation.reason,
        'place': explanation.place,
        'unusual': how_unusual(value, held_out),
        'threshold': scorer.calibration.limit,
        'width': size[0],
        'height': size[1],
      }
      if map:
        picture = await asyncio.to_thread(map_png, scorer, values['map'], size)
        found['map'] = base64.b64encode(picture).decode()
        if thumbnails:
          found['similar'] = await asyncio.to_thread(similar_to, thumbnails, content)
      found['seconds'] = round(time.perf_counter() - start, 4)
      meters.add(value, decision, found['seconds'])
      found['warning'] = meters.warning
      return found

  @app.post(
    '/preview',
    openapi_extra=BODY,
    dependencies=secured,
    response_class=Response,
    responses={200: {'content': {'image/jpeg': {}}}},
  )
  async def preview(request: Request) -> Response:
    authorise(request)
    content = await body(request)
    try:
      limit = scorer.config.data.max_megapixels
      picture = await asyncio.to_thread(preview_jpeg, content, limit)
    except ValueError as error:
      raise Refused(400, f'cannot read the image: {error}') from None
    return Response(picture, media_type='image/jpeg')

  @app.get('/model', dependencies=secured)
  async def model(request: Request) -> dict[str, Any]:
    authorise(request)
    return {**describe(scorer), 'warning': meters.warning}

  @app.get('/health')
  async def health() -> dict[str, str]:
    return {'status': 'ok', 'version': __version__}

  @app.get('/metrics', dependencies=secured, response_class=PlainTextResponse)
  async def metrics(request: Request) -> Response:
    authorise(request)
    return Response(meters.text(), media_type=CONTENT_TYPE_LATEST)

  @app.get('/', response_class=HTMLResponse)
  async def page() -> str:
    return templating.render(PAGE, root_path=root_path)

  return app


def describe(scorer: Scorer) -> dict[str, Any]:
  """Describes a model to the page, which decides, colours and draws by itself."""
  data = scorer.config.data
  return {
    'name': f'{data.dataset} {data.category}'.strip(),
    'step': scorer.step,
    'image_size': scorer.model.image_size,
    'fit': scorer.framing.fit,
    'held_out': scorer.scale(scorer.calibration.held_out).tolist(),
    **drawing_settings(scorer),
  }


def map_png(scorer: Scorer, maps: np.ndarray, size: tuple[int, int]) -> bytes:
  """The anomaly map over a whole photograph as a grey PNG, see `overlay.grey_map`."""
  grey = small_map(scorer, maps, size, MAP_SIDE)
  file = io.BytesIO()
  Image.fromarray(grey).save(file, 'PNG')
  return file.getvalue()


def similar_to(thumbnails: Thumbnails, content: bytes) -> dict[str, str]:
  """The most similar training photograph: its name, and its thumbnail as a JPEG in base64."""
  best = thumbnails.most_similar(to_rgb(open_image(content)))
  picture = base64.b64encode(thumbnails.pictures[best]).decode()
  return {'name': thumbnails.names[best], 'picture': picture}


def preview_jpeg(content: bytes, max_megapixels: float) -> bytes:
  """Converts a photograph to a JPEG that browsers can show.

  Raises:
    ValueError: with the reason, if the photograph cannot be decoded.
  """
  return small_jpeg(to_rgb(open_image(content, max_megapixels)), PREVIEW_SIDE)


class Meters:
  """The metrics for /metrics."""

  def __init__(self, scorer: Scorer):
    """Starts at zero.

    Args:
      scorer: of the scores.
    """
    registry = self.registry = CollectorRegistry()
    last = f'of the last {RECENT} images'
    self.requests = Counter('ocrgan_requests', 'Requests to /score', ['status'], registry=registry)
    self._seconds = Histogram('ocrgan_seconds', 'Time from image to score', registry=registry)
    self._anomalous = Counter('ocrgan_anomalous', 'Images called anomalous', registry=registry)
    self._share = Gauge(
      'ocrgan_recent_anomalous_share', f'Anomalous share {last}', registry=registry
    )
    self._median = Gauge('ocrgan_recent_median_score', f'Median score {last}', registry=registry)
    self._drift = Gauge(
      'ocrgan_drift',
      f'Kolmogorov-Smirnov distance of the last {RECENT} scores from held-out normal ones',
      registry=registry,
    )
    self._shifted = Gauge(
      'ocrgan_shifted', f'1 if the last {RECENT} images are unlike training', registry=registry
    )
    self._held_out = scorer.scale(scorer.calibration.held_out)
    self._recent = RecentScores(scorer.calibration)
    self._recent_anomalous: deque[bool] = deque(maxlen=RECENT)
    self.waiting = 0

  @property
  def warning(self) -> str:
    """That the model does not apply to the recent images, or ''."""
    return self._recent.warning

  @contextlib.contextmanager
  def count_waiting(self) -> Iterator[None]:
    """Counts a request while it is being served."""
    self.waiting += 1
    try:
      yield
    finally:
      self.waiting -= 1

  def add(self, score: float, decision: str, seconds: float) -> None:
    """Counts one scored image."""
    anomalous = decision == 'anomalous'
    self._seconds.observe(seconds)
    self._anomalous.inc(anomalous)
    self._recent.add(score)
    self._recent_anomalous.append(anomalous)

  def text(self) -> bytes:
    """The metrics in Prometheus text format."""
    if self._recent_anomalous:
      scores = np.array(self._recent.values)
      self._share.set(sum(self._recent_anomalous) / len(self._recent_anomalous))
      self._median.set(np.median(scores))
      if len(self._held_out):
        self._drift.set(ks_2samp(scores, self._held_out).statistic)
    self._shifted.set(bool(self.warning))
    return generate_latest(self.registry)
