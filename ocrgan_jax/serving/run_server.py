"""Serves a run over HTTP."""

import ipaddress
import os
import re
import socket
import sys
from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import user_path
from ocrgan_jax.inference.loading import load
from ocrgan_jax.runs.thumbnails import load_thumbnails
from ocrgan_jax.scoring.calibration import describe_threshold

TOKEN = 'OCRGAN_TOKEN'
PREFIX = re.compile(r'(/[\w.~-]+)+')  # of a proxy


def is_loopback(host: str) -> bool:
  """Whether an address can only be reached from this machine."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == 'localhost'


def bind(host: str, port: int) -> socket.socket:
  """Binds an address, to fail before anything slow starts.

  Raises:
    InputError: if the address is unavailable.
  """
  family = socket.AF_INET6 if ':' in host else socket.AF_INET
  bound = socket.socket(family, socket.SOCK_STREAM)
  bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    bound.bind((host, port))
  except (OSError, OverflowError) as error:
    bound.close()
    raise InputError(
      f'cannot serve at {host}:{port} ({error}); choose another --port or --host'
    ) from None
  return bound


def serve(
  workdir: str | Path,
  *,
  protocol: str = 'last',
  host: str,
  port: int,
  max_mib: float,
  root_path: str = '',
) -> None:
  """Serves a run until it is interrupted.

  Args:
    workdir: the run's folder.
    protocol: which checkpoint: 'last' or 'validation'.
    host: address to serve at.
    port: port to serve at; 0 for any free one.
    max_mib: larger uploads are refused; MiB.
    root_path: see `server.create_app`.

  Raises:
    InputError: if the run cannot be loaded, the address is unavailable, the prefix is no path, or
      packages are missing.
  """
  try:
    import uvicorn

    from ocrgan_jax.serving.server import create_app
  except ImportError as error:
    raise InputError(
      f'serving needs more packages ({error.name}): pip install fastapi prometheus-client '
      'python-multipart uvicorn'
    ) from None
  token = os.environ.get(TOKEN, '')
  if not is_loopback(host) and not token:
    raise InputError(
      f'--host={host} can be reached from other machines: set a token in the environment, '
      f'{TOKEN}=…, or serve at 127.0.0.1'
    )
  root_path = root_path.rstrip('/')
  if root_path and not PREFIX.fullmatch(root_path):
    raise InputError(
      f'--root_path={root_path}: it must be a path like /inspection, as the proxy has it'
    )
  with bind(host, port) as address:
    scorer = load(workdir, protocol=protocol)
    print(describe_threshold(scorer.calibration, scorer.model.score), file=sys.stderr)
    thumbnails = load_thumbnails(user_path(workdir))
    print('compiling', file=sys.stderr)
    app = create_app(
      scorer, token=token, max_mib=max_mib, root_path=root_path, thumbnails=thumbnails
    )
    port = address.getsockname()[1]
    print(f'serving {workdir} at http://{host}:{port}  (Ctrl-C to stop)', flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level='warning', access_log=False))
    server.run(sockets=[address])
