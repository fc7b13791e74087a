r"""Measures the speed and memory of each part.

  python -m experiments.benchmark --what=train --shapes=256:4:32
  python -m experiments.benchmark --what=accelerator --output=runs/accelerator.jsonl \
      --reference='python …'

Prints a line for each measurement, with the median of repeats and in brackets the lowest and the
highest, and at the end all of them as one line of JSON. `--output` writes each row as soon as it
is there. Started again with the same file, the command measures what is missing, so it can be cut
off at any point. `--what=accelerator` is what a session on an accelerator is for, the most
important first.
"""

import gc
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
from absl import flags

from experiments import rows
from experiments.benchmark.bands import benchmark_bands
from experiments.benchmark.ceilings import (
  benchmark_convolution,
  benchmark_copy,
  benchmark_products,
)
from experiments.benchmark.checksums import benchmark_checksums
from experiments.benchmark.input_pipeline import benchmark_input
from experiments.benchmark.losses import benchmark_losses
from experiments.benchmark.machine import machine
from experiments.benchmark.memory import benchmark_memory
from experiments.benchmark.programs import Shape
from experiments.benchmark.reference import benchmark_reference
from experiments.benchmark.steps import benchmark_step
from experiments.configs import check_known
from experiments.rows import Row
from ocrgan_jax.core import command_line
from ocrgan_jax.core.files import check_writable

PAPER, TINY = Shape(256, 64, 32), Shape(32, 2, 4)
# By the kind of device: the shapes, the types and the modes of the reference.
DEFAULTS = {
  'cpu': (['256:4:32', '256:64:4', '32:64:64'], ['float32'], ['eager']),
  'gpu': (
    ['256:64:32', '256:64:128', '256:4:128', '32:64:64'],
    ['bfloat16', 'float32'],
    ['compile', 'eager'],
  ),
}


class Options(NamedTuple):
  """What the sections need to know.

  Attributes:
    shapes: of train and score.
    dtypes: of all sections that compute with networks.
    modes: of the reference.
    reference: the command that times PyTorch; '' for none.
    quick: tiny sizes, to see that it works.
  """

  shapes: list[Shape]
  dtypes: list[str]
  modes: list[str]
  reference: str
  quick: bool


# The name of a measurement and what takes it, for each measurement of a section.
Section = Iterator[tuple[str, Callable[[], Row | list[Row]]]]


def _ceilings(options: Options, done: list[Row]) -> Section:
  on_cpu, quick = jax.default_backend() == 'cpu', options.quick
  side, gib = (256, 0.01) if quick else (2048, 0.25) if on_cpu else (8192, 2)
  convolution = (8, 8, 2) if quick else (64, 128, 128)
  for dtype in options.dtypes:
    yield f'products {dtype}', partial(benchmark_products, dtype, side)
  yield 'copy', partial(benchmark_copy, gib)
  for dtype in options.dtypes:
    yield f'convolution {dtype}', partial(benchmark_convolution, dtype, *convolution)


def _steps(what: str, options: Options, done: list[Row]) -> Section:
  jobs = [*itertools.product(options.dtypes, options.shapes)]
  for dtype, shape in jobs:
    yield f'{what} {shape} {dtype}', partial(benchmark_step, what, shape, dtype)
  for mode, (dtype, shape) in itertools.product(options.modes, jobs if options.reference else ()):
    name = f'{what} {shape} {dtype}'
    ours = next((row['value'] for row in done if row['name'] == name), None)
    reference = partial(benchmark_reference, options.reference, what, shape, dtype, mode, ours)
    yield f'{name}, PyTorch {mode}', reference


def _losses(options: Options, done: list[Row]) -> Section:
  shape, steps = (TINY, 3) if options.quick else (Shape(64, 16, 16), 20)
  yield 'losses', partial(benchmark_losses, shape, steps)


def _bands(options: Options, done: list[Row]) -> Section:
  sizes = (32, 8, 20) if options.quick else (256, 32, 300)
  yield 'bands', partial(benchmark_bands, *sizes)


def _memory(options: Options, done: list[Row]) -> Section:
  for dtype in options.dtypes:
    shape = TINY if options.quick else PAPER
    yield f'largest batch {dtype}', partial(benchmark_memory, shape, dtype)


def _checksums(options: Options, done: list[Row]) -> Section:
  yield 'checksums', partial(benchmark_checksums, TINY if options.quick else PAPER)


def _input(options: Options, done: list[Row]) -> Section:
  # 900 pixels a side, as in MVTec AD's bottle.
  yield 'input', partial(benchmark_input, *((4, 90, 4) if options.quick else (64, 900, 32)))


# A section gets the options and the rows so far. In the order of worth.
SECTIONS: dict[str, Callable[[Options, list[Row]], Section]] = {
  'ceilings': _ceilings,
  'train': partial(_steps, 'train'),
  'losses': _losses,
  'bands': _bands,
  'score': partial(_steps, 'score'),
  'memory': _memory,
  'input': _input,
  'checksums': _checksums,
}
ALIASES = {
  'all': [*SECTIONS],
  'accelerator': ['ceilings', 'train', 'losses', 'bands', 'memory', 'input'],
}


def measure(
  sections: Sequence[str], options: Options, output: Path | None = None, commit: str = ''
) -> tuple[list[Row], bool]:
  """Measures what the file of results lacks, if there is one, and adds the rows to it.

  Returns:
    All rows, and whether a measurement failed. One that failed has no row.
  """
  done = rows.read(output) if output else []
  failed = False
  for section in sections:
    for name, take in SECTIONS[section](options, done):
      key = {'section': section, 'measurement': name}
      if any(key.items() <= row.items() for row in done):
        continue
      try:
        found = take()
      except Exception as error:
        print(f'{name}: failed: {rows.reason_of(error)}', file=sys.stderr)
        failed = True
        continue
      finally:
        gc.collect()  # or the arrays of what failed would stay in memory
      for row in found if isinstance(found, list) else [found]:
        done.append({**key, **row, 'commit': commit, 'machine': machine()})
        print(line_of(row), flush=True)
        if output:
          rows.append(output, done[-1])
    jax.clear_caches()  # the next section has programs of its own
  return done, failed


def line_of(row: Row) -> str:
  """A row as a line: its name, value and unit, the spread, and its other numbers."""
  spread = '  ({:.4g} to {:.4g})'.format(*row['spread']) if 'spread' in row else ''
  others = {k: v for k, v in row.items() if k != 'value' and isinstance(v, int | float)}
  more = ', '.join(f'{name.replace("_", " ")} {value:.4g}' for name, value in others.items())
  line = f'{row["name"]:50} {row["value"]:10.4g} {row["unit"]}{spread}'
  return f'{line}; {more}' if more else line


def main() -> int:
  """Runs the command."""
  values = flags.FLAGS
  check_known('what', values.what, [*SECTIONS, *ALIASES])
  check_known('dtypes', values.dtypes, ['float32', 'bfloat16'])
  check_known('modes', values.modes, ['eager', 'compile'])
  sections = [part for name in values.what for part in ALIASES.get(name, [name])]
  if values.output:
    check_writable(Path(values.output), '--output')
  shapes, dtypes, modes = DEFAULTS['cpu' if jax.default_backend() == 'cpu' else 'gpu']
  options = Options(
    [TINY] if values.quick else [Shape.parse(text) for text in values.shapes or shapes],
    values.dtypes or dtypes,
    values.modes or modes,
    values.reference,
    values.quick,
  )
  print(machine())
  with tempfile.TemporaryDirectory() as cache:  # or nothing would be compiled
    jax.config.update('jax_compilation_cache_dir', cache)
    output = Path(values.output) if values.output else None
    found, failed = measure(sections, options, output, values.commit)
  print(json.dumps({'machine': machine(), 'rows': found}))
  return int(failed)


if __name__ == '__main__':
  flags.DEFINE_list('what', ['all'], f'what to measure: {", ".join([*SECTIONS, *ALIASES])}')
  flags.DEFINE_list('shapes', [], 'image size:width:batch, for train and score, as in 256:4:32')
  flags.DEFINE_list('dtypes', [], 'types of the computation: float32, bfloat16')
  flags.DEFINE_list('modes', [], 'of the reference: eager, compile')
  flags.DEFINE_string(
    'reference',
    '',
    'command that times the same network in PyTorch; it gets SIZE WIDTH BATCH STEPS '
    'cpu|cuda fp32|bf16 eager|compile train|score and prints "… img/s"',
  )
  flags.DEFINE_string('output', '', 'file of results, one JSON line each; what it has is skipped')
  flags.DEFINE_string('commit', '', 'of the code, for the rows')
  flags.DEFINE_bool('quick', False, 'tiny sizes: to see that it works')
  command_line.run(main)
