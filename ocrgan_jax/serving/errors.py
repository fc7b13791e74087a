"""Every refused request gets a 4xx or 5xx status and one line, `{"error": …}`."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


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


def answer_errors_in_one_line(app: FastAPI) -> None:
  """Makes an application answer `Refused` and errors of the framework in one line."""

  @app.exception_handler(Refused)
  async def refuse(request: Request, error: Refused) -> JSONResponse:
    return JSONResponse({'error': error.message}, error.status, error.headers)

  @app.exception_handler(HTTPException)
  async def refuse_route(request: Request, error: HTTPException) -> JSONResponse:
    message = f'{request.method} {request.url.path}: {error.detail}'
    return JSONResponse({'error': message}, error.status_code, error.headers)

  @app.exception_handler(RequestValidationError)
  async def refuse_query(request: Request, error: RequestValidationError) -> JSONResponse:
    faults = [f'{".".join(map(str, fault["loc"]))}: {fault["msg"]}' for fault in error.errors()]
    return JSONResponse({'error': '; '.join(faults)}, 400)
