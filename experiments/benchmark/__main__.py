"""Measures the speed and memory of each part.

  python -m experiments.benchmark --what=train --shapes=256:4:32

Prints a table, then the same numbers as one line of JSON. Each number is the median of repeats
within one run, followed by the lowest and the highest.
"""

import itertools
import json
import tempfile
from typing import Any

import jax
from absl import flags

from experiments.benchmark.ahead import compile_training
from experiments.benchmark.bands import benchmark_bands
from experiments.benchmark.checksums import benchmark_checksums
from experiments.benchmark.input_pipeline import benchmark_input
from experiments.benchmark.kernels import benchmark_profile
from experiments.benchmark.machine import benchmark_products, machine
from experiments.benchmark.memory import benchmark_memory
from experiments.benchmark.model_groups import benchmark_group
from experiments.benchmark.programs import Shape, first_device, model_of
from experiments.benchmark.reference import benchmark_reference
from experiments.benchmark.steps import benchmark_step
from ocrgan_jax.core import command_line

PARTS = (
  'train',
  'score',
  'profile',
  'bands',
  'together',
  'memory',
  'checksums',
  'input',
)


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  parts = PARTS if values.what == 'all' else (values.what,)
  shapes = [Shape.parse(text) for text in values.shapes]
  print(machine())
  rows: list[dict[str, Any]] = [benchmark_products(values.dtype)]
  with tempfile.TemporaryDirectory() as cache:
    jax.config.update('jax_compilation_cache_dir', cache)
    for what, shape in itertools.product(parts, shapes):
      if what in ('train', 'score'):
        ours = benchmark_step(what, shape, values.dtype)
        rows.append(ours)
        for mode in values.modes if values.reference else ():
          rate = ours['images_per_second']
          row = benchmark_reference(values.reference, what, shape, values.dtype, rate, mode=mode)
          rows.append(row)
      if what == 'profile':
        compiled, _ = compile_training(model_of(shape, values.dtype), first_device(), shape.batch)
        rows.append(benchmark_profile(compiled, shape, values.dtype))
    if 'bands' in parts:
      rows += benchmark_bands(Shape(256, 0, 32))
    if 'together' in parts:
      rows += benchmark_group(shapes[0], values.dtype, values.models)
    if 'memory' in parts:
      rows.append(benchmark_memory(Shape(256, 64, 0), values.dtype))
    if 'checksums' in parts:
      rows.append(benchmark_checksums(Shape(256, 64, 0)))
    if 'input' in parts:
      rows += benchmark_input()
  print(json.dumps({'machine': machine(), 'rows': rows}))


if __name__ == '__main__':
  flags.DEFINE_enum('what', 'all', [*PARTS, 'all'], 'what to measure')
  flags.DEFINE_list(
    'shapes',
    ['256:4:32', '256:64:4', '32:64:64'],
    'image size:width:batch, for train, score and profile',
  )
  flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'type of the computation')
  flags.DEFINE_list('modes', [''], 'of the reference; by default eager on a CPU, else compile')
  flags.DEFINE_integer('models', 5, 'number of models for together, all of the first shape')
  flags.DEFINE_string(
    'reference',
    '',
    'command that times the same network in PyTorch; it gets SIZE WIDTH BATCH STEPS '
    'cpu|cuda fp32|bf16 eager|compile train|score and prints "… img/s"',
  )
  command_line.run(main)
