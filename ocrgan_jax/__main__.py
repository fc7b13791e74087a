"""The command `ocrgan`. Each subcommand also runs as `python -m ocrgan_jax.<command>`."""

import runpy
import sys

from ocrgan_jax import __version__
from ocrgan_jax.core.signals import exit_on_signals

# name → (description, example arguments)
COMMANDS = {
  'data': ('checks a dataset', '--config=folder --config.data_dir=my/photos'),
  'train': ('trains a model', '--config=folder --config.data_dir=my/photos --workdir=runs/mine'),
  'evaluate': ('evaluates the model on its test set', '--workdir=runs/mine'),
  'calibrate': ('sets its threshold', '--workdir=runs/mine --score.false_alarms=0.05'),
  'predict': ('scores photographs', '--workdir=runs/mine new/photos'),
  'serve': ('serves a web page and an HTTP API', '--workdir=runs/mine'),
  'export': ('exports the model as StableHLO and ONNX', '--workdir=runs/mine'),
}


def usage() -> str:
  """The text that `ocrgan` and `ocrgan --help` print."""
  lines = [f'  ocrgan {name} {example}\n      {text}' for name, (text, example) in COMMANDS.items()]
  return '\n'.join(
    [
      f'ocrgan_jax {__version__}: finds defective products after seeing photographs of sound ones',
      '',
      *lines,
      '',
      '`ocrgan <command> --help` lists the flags of a command. Every config field, such as',
      "--config.image_size=128, is documented in configs/default.py in the package's folder.",
    ]
  )


def main() -> int:
  """Runs the command."""
  exit_on_signals()  # before slow imports
  name = sys.argv[1] if len(sys.argv) > 1 else '--help'
  if name in ('--help', '-h', 'help'):
    print(usage())
    return 0
  if name == '--version':
    print(__version__)
    return 0
  if name not in COMMANDS:
    print(f'error: no command {name!r}; the commands are {", ".join(COMMANDS)}', file=sys.stderr)
    return 1
  sys.argv[:2] = [f'ocrgan {name}']
  runpy.run_module(f'ocrgan_jax.{name}', run_name='__main__', alter_sys=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
