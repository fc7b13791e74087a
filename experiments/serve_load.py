"""Measures how fast a server of `ocrgan serve` answers.

  python -m experiments.serve_load --url=http://127.0.0.1:8000 photographs…

Each client has its own connection and sends one request after the other, cycling through the
photographs. Needs httpx.
"""

import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
from absl import flags
from tqdm import tqdm

from ocrgan_jax.core import command_line
from ocrgan_jax.inference.predict_files import find_images


def main(arguments: list[str]) -> int:
  """Runs the command."""
  values = flags.FLAGS
  contents = [path.read_bytes() for path in find_images(arguments)]
  turn, bar = itertools.count(), tqdm(total=values.requests, unit='request', leave=False)

  seconds: list[float] = []
  failed: list[str] = []

  def client(_: int) -> None:
    with httpx.Client(base_url=values.url, timeout=120) as connection:
      while (number := next(turn)) < values.requests:
        begun = time.perf_counter()
        try:
          connection.post('/score', content=contents[number % len(contents)]).raise_for_status()
          seconds.append(time.perf_counter() - begun)
        except httpx.HTTPError as error:
          failed.append(str(error))
        bar.update()

  begun = time.perf_counter()
  with ThreadPoolExecutor(values.clients) as pool:
    list(pool.map(client, range(values.clients)))
  took = time.perf_counter() - begun
  bar.close()
  middle, late = (1000 * np.quantile(seconds, q) for q in (0.5, 0.95)) if seconds else (0, 0)
  print(
    f'{values.clients} clients, {values.requests} requests, {len(failed)} failed, '
    f'{len(seconds) / took:.1f} images/s, p50 {middle:.0f} ms, p95 {late:.0f} ms'
  )
  if failed:
    print(f'first error: {failed[0]}', file=sys.stderr)
  return 1 if failed else 0


if __name__ == '__main__':
  flags.DEFINE_string('url', 'http://127.0.0.1:8000', 'address of the server')
  flags.DEFINE_integer('clients', 8, 'number of clients')
  flags.DEFINE_integer('requests', 2000, 'number of requests from all clients')
  command_line.run(main, takes_arguments=True)
