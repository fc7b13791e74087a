"""Every refused request gets a 4xx or 5xx status and one line, `{"error": …}`."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class Refused(HTTPException):
  """A request that this server refuses; its detail is one line for the client."""


def answer_errors_in_one_line(app: FastAPI) -> None:
  """Makes an application answer `Refused` and errors of the framework in one line."""

  @app.exception_handler(HTTPException)
  async def refuse(request: Request, error: HTTPException) -> JSONResponse:
    place = '' if isinstance(error, Refused) else f'{request.method} {request.url.path}: '
    return JSONResponse({'error': f'{place}{error.detail}'}, error.status_code, error.headers)

  @app.exception_handler(RequestValidationError)
  async def refuse_query(request: Request, error: RequestValidationError) -> JSONResponse:
    faults = [f'{".".join(map(str, fault["loc"]))}: {fault["msg"]}' for fault in error.errors()]
    return JSONResponse({'error': '; '.join(faults)}, 400)
