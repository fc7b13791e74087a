"""What clients send: raw bytes or forms, and how a request is answered that is refused midway."""

import asyncio
import contextlib
from email.message import Message
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

FORM = 'multipart/form-data'
FIELD = 'file'  # the field of a form that holds the photograph
# How much of a refused upload is read and thrown away, so that the client gets to the answer.
DRAINED_BYTES, DRAIN_SECONDS = 2**30, 30.0

_BINARY = {'type': 'string', 'format': 'binary'}
# The body of a request with a photograph, for the API's description.
BODY: dict[str, Any] = {
  'requestBody': {
    'required': True,
    'content': {
      FORM: {
        'schema': {'type': 'object', 'properties': {FIELD: _BINARY}, 'required': [FIELD]},
      },
      'application/octet-stream': {'schema': _BINARY},
    },
  }
}


def photograph_of(body: bytes, content_type: str) -> bytes:
  """Takes the photograph from the body of a request.

  Args:
    body: of the request.
    content_type: its header. Anything but a form is the photograph itself.

  Returns:
    The encoded photograph.

  Raises:
    ValueError: with the reason, if a form does not hold exactly one file.
  """
  header = _header(content_type)
  if header.get_content_type() != FORM:
    return body
  boundary = header.get_boundary()
  if not boundary:
    raise ValueError('the form has no boundary in its Content-Type')
  # Every part follows a line with the boundary (RFC 2046). What comes before the first is no part.
  parts = (b'\r\n' + body).split(b'\r\n--' + boundary.encode())[1:]
  found: list[bytes] = []
  for part in parts:
    head, blank, content = part.partition(b'\r\n\r\n')
    if blank and _is_file(head.decode('utf-8', 'replace')):
      found.append(content)
  if len(found) != 1:
    raise ValueError(
      f'the form has {len(found) or "no"} file{"s" * (len(found) > 1)}: send one photograph, '
      f'as the field {FIELD!r}'
    )
  return found[0]


def _is_file(head: str) -> bool:
  """Whether a part of a form is a file, by its headers: under any name, or unnamed but ours."""
  for line in head.splitlines():
    name, _, value = line.partition(':')
    if name.strip().lower() == 'content-disposition':
      field = _header(value)
      return field.get_param('filename') is not None or field.get_param('name') == FIELD
  return False


def _header(value: str) -> Message:
  """Parses a header with parameters."""
  message = Message()
  message['Content-Type'] = value
  return message


def with_http_manners(app: ASGIApp) -> ASGIApp:
  """Answers HEAD like GET, and reads the rest of an upload before answering.

  Ordinary clients send their whole body before they read. If the server answered and closed
  before that, they would report a reset connection instead of the reason. A client that waits
  for `100 Continue` is told at once.

  Args:
    app: any ASGI application.

  Returns:
    The application around it.
  """

  async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope['type'] != 'http':
      return await app(scope, receive, send)
    is_head = scope['method'] == 'HEAD'
    waits = b'100-continue' in dict(scope['headers']).get(b'expect', b'').lower()
    left = True  # of the request's body

    async def receive_on() -> Event:
      nonlocal left, waits
      waits = False
      event = await receive()
      left = event.get('more_body', False)
      return event

    async def drain() -> None:
      total = 0
      with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
          while left and not waits and total < DRAINED_BYTES:
            total += len((await receive_on()).get('body', b''))

    async def send_on(event: Event) -> None:
      if event['type'] == 'http.response.start':
        await drain()
      elif is_head and event['type'] == 'http.response.body':
        event = {**event, 'body': b''}
      await send(event)

    await app({**scope, 'method': 'GET'} if is_head else scope, receive_on, send_on)

  return answer
