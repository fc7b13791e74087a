"""Times the same network in plain PyTorch, with a command of the user."""

import re
import shlex
import subprocess

import jax

from experiments.benchmark.programs import Shape
from experiments.benchmark.timing import REPEATS
from experiments.rows import Row
from ocrgan_jax.core.errors import InputError

LONGEST = 240  # seconds that the command may take on an accelerator


def benchmark_reference(
  reference: str, what: str, shape: Shape, dtype: str, mode: str, ours: float | None = None
) -> Row:
  """Times the reference, a command, on 'train' or 'score', in the mode 'eager' or 'compile'.

  It gets the shape, the number of steps, the device, the precision, the mode and `what` as
  arguments, and prints `… img/s`.

  Returns:
    The row; `ours_times_that` is the ratio of `ours`, images/s, to it.

  Raises:
    InputError: if the command prints no rate in time.
  """
  on_cpu = jax.default_backend() == 'cpu'
  numbers = [str(number) for number in (*shape, REPEATS if on_cpu else 20)]
  precision = {'float32': 'fp32', 'bfloat16': 'bf16'}[dtype]
  command = [*shlex.split(reference), *numbers, 'cpu' if on_cpu else 'cuda', precision, mode, what]
  try:
    done = subprocess.run(
      command, capture_output=True, text=True, check=False, timeout=None if on_cpu else LONGEST
    )
  except subprocess.TimeoutExpired:
    raise InputError(f'--reference took longer than {LONGEST} s') from None
  found = re.search(r'([\d.]+) img/s', done.stdout)
  if not found:
    raise InputError(f'--reference gave no images/s: {(done.stderr or done.stdout)[-300:]}')
  theirs = float(found.group(1))
  row = {'name': f'{what} {shape} {dtype}, PyTorch {mode}', 'value': theirs, 'unit': 'images/s'}
  return {**row, 'ours_times_that': ours / theirs} if ours else row
