"""Serves a trained model on this machine: `python -m ocrgan_jax.serve --workdir=…`.

Opens a page for people (drop photographs, see what was found, move the threshold) and an API
for machines at one address, http://127.0.0.1:8000 by default:

  curl --data-binary @photo.png http://127.0.0.1:8000/score

Another --host than this machine's own needs a token, in the environment variable
OCRGAN_TOKEN, that requests bring as `Authorization: Bearer …` and the page asks for.
"""

import ipaddress
import os
import socket
import sys

from absl import flags

from ocrgan_jax import command_line
from ocrgan_jax.calibration import describe_threshold
from ocrgan_jax.errors import InputError
from ocrgan_jax.scorer import load

TOKEN = 'OCRGAN_TOKEN'


def is_loopback(host: str) -> bool:
  """Whether an address is reached from this machine alone."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == 'localhost'


def bind(host: str, port: int) -> socket.socket:
  """Takes an address before anything long begins.

  Raises:
    InputError: if it cannot be had.
  """
  family = socket.AF_INET6 if ':' in host else socket.AF_INET
  taken = socket.socket(family, socket.SOCK_STREAM)
  taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    taken.bind((host, port))
  except (OSError, OverflowError) as error:
    taken.close()
    raise InputError(
      f'cannot serve at {host}:{port} ({error}); choose another --port or --host'
    ) from None
  return taken


def main() -> None:
  """Runs the command."""
  try:
    import uvicorn

    from ocrgan_jax.server import create_app
  except ImportError as error:
    raise InputError(
      f'serving needs more packages ({error.name}): pip install fastapi prometheus-client uvicorn'
    ) from None
  values = flags.FLAGS
  token = os.environ.get(TOKEN, '')
  if not is_loopback(values.host) and not token:
    raise InputError(
      f'--host={values.host} is reached from other machines: set a token in the environment, '
      f'{TOKEN}=…, or serve at 127.0.0.1'
    )
  address = bind(values.host, values.port)
  scorer = load(values.workdir, protocol=values.protocol)
  print(describe_threshold(scorer.calibration, scorer.model.score), file=sys.stderr)
  print('compiling', file=sys.stderr)
  app = create_app(scorer, token=token, max_mib=values.max_mib)
  port = address.getsockname()[1]
  print(f'serving {values.workdir} at http://{values.host}:{port}  (Ctrl-C ends)', flush=True)
  server = uvicorn.Server(uvicorn.Config(app, log_level='warning', access_log=False))
  server.run(sockets=[address])


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.DEFINE_string('host', '127.0.0.1', 'address to serve at')
  flags.DEFINE_integer('port', 8000, 'port; 0 for any that is free')
  flags.DEFINE_float('max_mib', 32.0, 'larger uploads are refused; MiB')
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
