"""The HTTP server of a trained model: a page for people, an API for machines.

  POST /score     an image → score, decision and why; ?map=true adds the anomaly map
  POST /preview   an image → a JPEG that any browser shows
  GET  /model     threshold, scale, the scores that others are compared with
  GET  /health    whether the server is up
  GET  /metrics   Prometheus text format
  GET  /          the page

An image is the body itself, or the file of a form (`curl -F file=@x.png`). Bad requests get status
4xx and one line, `{"error": …}`. No image, name or token is logged.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.params import Depends as Dependency
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST

from ocrgan_jax import __version__
from ocrgan_jax.drawing import templating
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.runs.thumbnails import Thumbnails
from ocrgan_jax.serving.errors import Refused, answer_errors_in_one_line
from ocrgan_jax.serving.middleware import with_http_manners
from ocrgan_jax.serving.service import Service
from ocrgan_jax.serving.uploads import BODY, read_photograph

PAGE = Path(__file__).parent / 'templates' / 'page.html.jinja'


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
  service = Service(scorer, thumbnails)

  @contextlib.asynccontextmanager
  async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(service.close)

  app = FastAPI(title='ocrgan', version=__version__, lifespan=lifespan, root_path=root_path)
  answer_errors_in_one_line(app)
  add_api(app, service, max_mib, [Depends(requirement_of(token))] if token else [])

  @app.get('/', response_class=HTMLResponse)
  async def page() -> str:
    return templating.render(PAGE, root_path=root_path, compared_with=scorer.compared_with)

  @app.middleware('http')
  async def count(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
  ) -> Response:
    response = await call_next(request)
    if request.url.path.removeprefix(root_path) == '/score':
      service.meters.requests.labels(str(response.status_code)).inc()
    return response

  app.add_middleware(with_http_manners)  # added last, so it is outermost
  return app


def requirement_of(token: str) -> Callable[..., Awaitable[None]]:
  """Returns the dependency that refuses requests without a token."""

  async def require(
    sent: HTTPAuthorizationCredentials | None = Security(HTTPBearer(auto_error=False)),  # noqa: B008
  ) -> None:
    if not sent or not hmac.compare_digest(sent.credentials.encode(), token.encode()):
      raise Refused(401, 'this server requires a token: send Authorization: Bearer …')

  return require


def add_api(app: FastAPI, service: Service, max_mib: float, secured: list[Dependency]) -> None:
  """Adds the routes for machines; `secured` are the dependencies of all but /health."""

  @app.post('/score', openapi_extra=BODY, dependencies=secured)
  async def score(request: Request, map: bool = False) -> dict[str, Any]:
    with service.meters.count_waiting():
      return await service.score(await read_photograph(request, max_mib), with_map=map)

  @app.post(
    '/preview',
    openapi_extra=BODY,
    dependencies=secured,
    response_class=Response,
    responses={200: {'content': {'image/jpeg': {}}}},
  )
  async def preview(request: Request) -> Response:
    picture = await service.preview(await read_photograph(request, max_mib))
    return Response(picture, media_type='image/jpeg')

  @app.get('/model', dependencies=secured)
  async def model() -> dict[str, Any]:
    return service.describe()

  @app.get('/health')
  async def health() -> dict[str, str]:
    return {'status': 'ok', 'version': __version__}

  @app.get('/metrics', dependencies=secured, response_class=PlainTextResponse)
  async def metrics() -> Response:
    return Response(service.meters.text(), media_type=CONTENT_TYPE_LATEST)
