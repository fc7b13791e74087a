"""Serves a trained model on this machine: `python -m ocrgan_jax.serve --workdir=…`.

Opens a page for people (drop photographs, see what was found, move the threshold) and an API
for machines at one address, http://127.0.0.1:8000 by default:

  curl --data-binary @photo.png http://127.0.0.1:8000/score

Another --host than this machine's own needs a token, in the environment variable
OCRGAN_TOKEN, that requests bring as `Authorization: Bearer …` and the page asks for.
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
  )


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.DEFINE_string('host', '127.0.0.1', 'address to serve at')
  flags.DEFINE_integer('port', 8000, 'port; 0 for any that is free')
  flags.DEFINE_float('max_mib', 32.0, 'larger uploads are refused; MiB')
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
