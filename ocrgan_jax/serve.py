"""Serves a trained model on this machine: `python -m ocrgan_jax.serve --workdir=…`.

The address, http://127.0.0.1:8000 by default, has a web page (drop photographs, see their anomaly
maps, move the threshold) and an HTTP API:

  curl -F file=@photo.png http://127.0.0.1:8000/score
  curl --data-binary @photo.png http://127.0.0.1:8000/score

To listen on an address that other machines can reach (--host), set a token in the environment
variable OCRGAN_TOKEN. Requests send it as `Authorization: Bearer …`; the page asks for it.
"""

from absl import flags

from ocrgan_jax.core import command_line
from ocrgan_jax.serving.run_server import serve


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  serve(
    values.workdir,
    protocol=values.protocol,
    host=values.host,
    port=values.port,
    max_mib=values.max_mib,
    root_path=values.root_path,
  )


if __name__ == '__main__':
  command_line.define_run_flags()
  flags.DEFINE_string('host', '127.0.0.1', 'address to listen on')
  flags.DEFINE_integer('port', 8000, 'port to listen on; 0 for any free one')
  flags.DEFINE_float('max_mib', 32.0, 'reject larger uploads; MiB')
  flags.DEFINE_string('root_path', '', 'prefix of a proxy in front, such as /inspection')
  command_line.run(main)
