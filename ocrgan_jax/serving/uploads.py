"""Reads the photograph of a request: the body itself, or the file of a form."""

import math
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from ocrgan_jax.serving.errors import Refused

FORM = 'multipart/form-data'
FIELD = 'file'  # the field of a form that holds the photograph

_BINARY = {'type': 'string', 'format': 'binary'}
_FORM_SCHEMA = {'type': 'object', 'properties': {FIELD: _BINARY}, 'required': [FIELD]}
# The body of a request with a photograph, for the API's description.
BODY: dict[str, Any] = {
  'requestBody': {
    'required': True,
    'content': {FORM: {'schema': _FORM_SCHEMA}, 'application/octet-stream': {'schema': _BINARY}},
  }
}


async def read_photograph(request: Request, max_mib: float) -> bytes:
  """Reads the encoded photograph of a request; stops as soon as there is too much.

  Raises:
    Refused: if the body is larger than `max_mib`, empty, or a form without exactly one file.
  """
  too_large = Refused(413, f'the image is larger than {max_mib:g} MiB', {'connection': 'close'})
  stated = request.headers.get('content-length', '')
  if stated.isdecimal() and int(stated) > max_mib * 2**20:
    raise too_large
  body = bytearray()
  async for part in request.stream():
    body += part
    if len(body) > max_mib * 2**20:
      raise too_large
  content = photograph_of(bytes(body), request.headers.get('content-type', ''))
  if not content:
    raise Refused(400, "no image: send its bytes as the body, or a form with it as 'file'")
  return content


def photograph_of(body: bytes, content_type: str) -> bytes:
  """Takes the photograph from the body of a request. If that is no form, it is the photograph.

  Raises:
    Refused: if a form does not hold exactly one file.
  """
  kind, parameters = parse_options_header(content_type)
  if kind != FORM.encode():
    return body
  boundary = parameters.get(b'boundary')
  if not boundary:
    raise Refused(400, 'the form has no boundary in its Content-Type')
  found: list[bytes] = []

  def take_file(file: File) -> None:
    file.file_object.seek(0)
    found.append(file.file_object.read())

  def take_field(field: Field) -> None:
    if field.field_name == FIELD.encode():
      found.append(field.value or b'')

  in_memory = {'MAX_MEMORY_FILE_SIZE': math.inf}  # photographs are never written to the disk
  try:
    FormParser(FORM, take_field, take_file, boundary=boundary, config=in_memory).write(body)
  except FormParserError as error:
    raise Refused(400, f'cannot read the form: {error}') from None
  if len(found) != 1:
    number = f'{len(found)} files' if found else 'no file'
    raise Refused(400, f'the form has {number}: send one photograph, as the field {FIELD!r}')
  return found[0]
