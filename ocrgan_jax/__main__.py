"""The command `ocrgan`: each of its commands is also `python -m ocrgan_jax.<command>`."""

import runpy
import sys

from ocrgan_jax import __version__
from ocrgan_jax.core.memory import start_again_with_huge_pages

# name → what it does, and an example.
COMMANDS = {
  'data': ('checks a dataset', '--config=folder --config.data_dir=my/photos'),
  'train': ('trains a model', '--config=folder --config.data_dir=my/photos --workdir=runs/mine'),
  'evaluate': ('measures it on its test set', '--workdir=runs/mine'),
  'calibrate': ('chooses its threshold', '--workdir=runs/mine --score.false_alarms=0.05'),
  'predict': ('scores any photographs', '--workdir=runs/mine new/photos'),
  'serve': ('opens a page and an HTTP API for it', '--workdir=runs/mine'),
  'export': ('writes it as StableHLO and ONNX', '--workdir=runs/mine'),
}


def usage() -> str:
  """What `ocrgan` and `ocrgan --help` print."""
  lines = [f'  ocrgan {name} {example}\n      {text}' for name, (text, example) in COMMANDS.items()]
  return '\n'.join(
    [
      f'ocrgan_jax {__version__}: finds defective products after seeing photographs of sound ones',
      '',
      *lines,
      '',
      '`ocrgan <command> --help` lists the flags of a command; every field of a config, as in',
      "--config.image_size=128, is told in configs/default.py, which lies in the package's folder.",
    ]
  )


def main() -> int:
  """Runs the command."""
  name = sys.argv[1] if len(sys.argv) > 1 else '--help'
  if name in ('--help', '-h', 'help'):
    print(usage())
    return 0
  if name == '--version':
    print(__version__)
    return 0
  if name not in COMMANDS:
    print(f'error: no command {name!r}; there are {", ".join(COMMANDS)}', file=sys.stderr)
    return 1
  if not {'--help', '-?', '--helpfull'} & {*sys.argv} and name != 'data':
    start_again_with_huge_pages()  # before anything large is imported
  sys.argv[:2] = [f'ocrgan {name}']
  runpy.run_module(f'ocrgan_jax.{name}', run_name='__main__', alter_sys=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
