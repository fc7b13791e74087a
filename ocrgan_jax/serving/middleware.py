"""Answers HEAD like GET, and reads the rest of an upload before answering."""

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# How much of a refused upload is read and thrown away, so that the client gets to the answer.
DRAINED_BYTES, DRAIN_SECONDS = 2**30, 30.0


def with_http_manners(app: ASGIApp) -> ASGIApp:
  """Wraps an ASGI application.

  Ordinary clients send their whole body before they read. If the server answered and closed
  before that, they would report a reset connection instead of the reason. A client that waits
  for `100 Continue` gets the answer at once. Servers send no body in answer to HEAD.
  """

  async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope['type'] != 'http':
      return await app(scope, receive, send)
    waits = b'100-continue' in dict(scope['headers']).get(b'expect', b'').lower()
    left = True  # of the request's body

    async def receive_on() -> Message:
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

    async def send_on(event: Message) -> None:
      if event['type'] == 'http.response.start':
        await drain()
      await send(event)

    method = 'GET' if scope['method'] == 'HEAD' else scope['method']
    await app({**scope, 'method': method}, receive_on, send_on)

  return answer
