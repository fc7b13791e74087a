"""Times the same network in plain PyTorch, with a command of the user."""

import re
import shlex
import subprocess
from typing import Any

import jax

from experiments.benchmark.programs import Shape
from experiments.benchmark.timing import REPEATS
from ocrgan_jax.core.errors import InputError


def benchmark_reference(
  reference: str,
  what: str,
  shape: Shape,
  dtype: str,
  ours: float | None = None,
  *,
  mode: str = '',
  steps: int = REPEATS,
  timeout: float | None = None,
) -> dict[str, Any]:
  """Times the reference.

  Args:
    reference: the command. It gets the shape, the number of steps, the device, the precision,
      the mode and `what` as arguments, and prints `… img/s`.
    what: 'train' or 'score'.
    shape: shape of the model and its batch.
    dtype: type of the computation.
    ours: our images/s to compare with, if known.
    mode: 'eager' or 'compile'; by default eager on a CPU, else compiled.
    steps: number of timed steps.
    timeout: longest time for the command; seconds.

  Returns:
    The row of the table.

  Raises:
    InputError: if the command prints no rate in time.
  """
  device = 'cpu' if jax.default_backend() == 'cpu' else 'cuda'
  mode = mode or ('eager' if device == 'cpu' else 'compile')
  precision = {'float32': 'fp32', 'bfloat16': 'bf16'}[dtype]
  numbers = [str(number) for number in (*shape, steps)]
  command = [*shlex.split(reference), *numbers, device, precision, mode, what]
  try:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
  except subprocess.TimeoutExpired:
    raise InputError(f'--reference took longer than {timeout:.0f} s') from None
  found = re.search(r'([\d.]+) img/s', done.stdout)
  if not found:
    raise InputError(f'--reference gave no images/s: {(done.stderr or done.stdout)[-300:]}')
  theirs = float(found.group(1))
  name = f'{what} {shape} {dtype}, PyTorch {mode}'
  ratio = ours and ours / theirs
  compared = f'; ours is {ratio:.2f} times that' if ratio else ''
  print(f'{name:50} {theirs:10.2f} images/s{compared}')
  return {'name': name, 'images_per_second': theirs, 'ratio': ratio}
