r"""What an accelerator buys: `python -m experiments.accelerator --output=accelerator.jsonl`.

  python -m experiments.accelerator --output=runs/accelerator.jsonl \
      --data_dir=… --reference='python …' --sections=ceilings,step,losses

Measures the most important things first and writes each result as soon as it is there, one JSON
line each. Started again with the same file it goes on with what is missing, so it can be cut off
at any point. Each section has its own time limit, which also ends the training that it is at.

`--data_dir` holds the folder `mvtec_ad`. `--reference` is a command as that of
`experiments.benchmark`. `--quick` runs every section with tiny sizes, to see that it works.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import gc
import itertools
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import jax
import jaxlib
import numpy as np
from absl import flags

from experiments import runner
from experiments.benchmark.ahead import COMPILING, Job, compile_ahead, time_training
from experiments.benchmark.bands import benchmark_bands
from experiments.benchmark.ceilings import benchmark_convolution, benchmark_copy
from experiments.benchmark.input_pipeline import benchmark_input
from experiments.benchmark.kernels import benchmark_profile
from experiments.benchmark.losses import relative_differences, training_losses
from experiments.benchmark.machine import benchmark_products, machine
from experiments.benchmark.memory import benchmark_memory
from experiments.benchmark.programs import Shape
from experiments.benchmark.reference import benchmark_reference
from experiments.benchmark.timing import REPEATS
from experiments.paper import experiment
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import check_writable
from ocrgan_jax.training.log import read_lines

Row = dict[str, Any]

DTYPES = ('bfloat16', 'float32')
SHAPES = (Shape(256, 64, 32), Shape(256, 64, 128), Shape(256, 4, 128), Shape(32, 64, 64))
QUICK_SHAPES = (Shape(32, 2, 4), Shape(32, 2, 8))
MODES = ('compile', 'eager')  # of the reference
LOSS_SHAPE, LOSS_STEPS = Shape(32, 16, 16), 20
SEEDS = 5
CATEGORIES = ('bottle', 'screw')
AT_THE_END = 10**6  # epochs between validations: none but the last
REFERENCE_SECONDS = 240.0  # that the reference may take at most
COMPILED_AT_ONCE = 8  # of our own programs


class Measurement(NamedTuple):
  """Something to measure.

  Attributes:
    name: by which a result is known to be there.
    take: measures it. Each row that it returns has a 'value' and a 'unit', and, if there are
      several, a 'name'.
    shape: of the model and its batch, if it has one.
    dtype: of the computation.
  """

  name: str
  take: Callable[[], Row | list[Row]]
  shape: Shape | None = None
  dtype: str = 'float32'


class TimeUp(BaseException):
  """The time of a section is over. No error, so that nothing takes it for one."""


class Results:
  """The file of results."""

  def __init__(self, path: Path, *, retry: bool = False):
    """Reads what is there.

    Args:
      path: of the file.
      retry: whether to measure again what failed.
    """
    self._path = path
    self._rows = [row for row in read_lines(path) if not (retry and 'error' in row)]

  def find(self, section: str, name: str) -> Row | None:
    """The first row of a measurement."""
    rows = (row for row in self._rows if (row['section'], row['measurement']) == (section, name))
    return next(rows, None)

  def add(self, row: Row) -> None:
    """Adds a row, to the file first."""
    runner.append(self._path, row)
    self._rows.append(row)


@dataclasses.dataclass(frozen=True)
class Plan:
  """What the sections need to know.

  Attributes:
    results: that are there already.
    quick: tiny sizes.
    data_dir: holds the folders of the datasets.
    workdir: of the trained models.
    reference: the command that times PyTorch; '' for none.
    details: folder for traces and compiled programs; None to keep none.
    deadline: of the section, by `time.monotonic`.
  """

  results: Results
  quick: bool
  data_dir: str
  workdir: Path
  reference: str
  details: Path | None
  deadline: float

  def has(self, section: str, name: str) -> bool:
    """Whether something was measured already."""
    return self.results.find(section, name) is not None

  @property
  def seconds_left(self) -> float:
    """For the section."""
    return self.deadline - time.monotonic()


def ceilings(plan: Plan) -> Iterator[Measurement]:
  """The most that the device can do: products, convolutions, memory."""
  for dtype in DTYPES:
    yield Measurement(f'products {dtype}', functools.partial(_products, plan, dtype), dtype=dtype)
  yield Measurement('copy', functools.partial(_copy, plan))
  for dtype in DTYPES:
    take = functools.partial(_convolution, plan, dtype)
    yield Measurement(f'convolution {dtype}', take, dtype=dtype)


def _products(plan: Plan, dtype: str) -> Row:
  row = benchmark_products(dtype, 256 if plan.quick else 0)
  return {'value': row['gflops'] / 1e3, 'unit': 'TFLOP/s'}


def _copy(plan: Plan) -> Row:
  return {'value': benchmark_copy(0.01 if plan.quick else 2)['gb_per_second'], 'unit': 'GB/s'}


def _convolution(plan: Plan, dtype: str) -> Row:
  side, channels, batch = (8, 8, 2) if plan.quick else (64, 128, 128)
  row = benchmark_convolution(dtype, side, channels, batch)
  return {'value': row['tflops'], 'unit': 'TFLOP/s', 'convolution': row['name']}


def step(plan: Plan) -> Iterator[Measurement]:
  """The training step of the paper's shape, beside PyTorch compiled and eager."""
  yield from _steps(plan, 'step', (QUICK_SHAPES if plan.quick else SHAPES)[:1])


def shapes(plan: Plan) -> Iterator[Measurement]:
  """The same of other shapes."""
  yield from _steps(plan, 'shapes', (QUICK_SHAPES if plan.quick else SHAPES)[1:], COMPILED_AT_ONCE)


def _steps(
  plan: Plan, section: str, chosen: Sequence[Shape], threads: int = 1
) -> Iterator[Measurement]:
  """The training steps of some shapes: ours, then PyTorch's.

  Args:
    plan: of the section.
    section: its name.
    chosen: the shapes.
    threads: that compile side by side. With one, what the compiler times is alone on the device.

  Yields:
    Each measurement.
  """
  jobs = [(shape, dtype) for dtype in DTYPES for shape in chosen]
  missing = [job for job in jobs if not plan.has(section, _train(*job))]
  programs = compile_ahead(missing, threads)
  for job in missing:
    yield Measurement(_train(*job), functools.partial(_time_step, programs, job), *job)
  for mode in MODES if plan.reference else ():
    for job in jobs:
      take = functools.partial(_time_reference, plan, section, mode, *job)
      yield Measurement(_of_reference(mode, *job), take, *job)


def _train(shape: Shape, dtype: str) -> str:
  return f'train {shape} {dtype}'


def _of_reference(mode: str, shape: Shape, dtype: str) -> str:
  return f'{_train(shape, dtype)}, PyTorch {mode}'


def _time_step(programs: dict[Job, Any], job: Job) -> Row:
  compiled, seconds = programs.pop(job).result()
  row = time_training(compiled, *job)
  del row['name']
  value = row.pop('images_per_second')
  return {'value': value, 'unit': 'images/s', **row, 'compile_seconds': seconds}


def _time_reference(plan: Plan, section: str, mode: str, shape: Shape, dtype: str) -> Row:
  ours = (plan.results.find(section, _train(shape, dtype)) or {}).get('value')
  row = benchmark_reference(
    plan.reference,
    'train',
    shape,
    dtype,
    ours,
    mode=mode,
    steps=REPEATS if jax.default_backend() == 'cpu' else 20,
    timeout=min(plan.seconds_left, REFERENCE_SECONDS),
  )
  return {
    'value': row['images_per_second'],
    'unit': 'images/s',
    'ours_times_that': row['ratio'],
  }


def losses(plan: Plan) -> Iterator[Measurement]:
  """The losses of the first steps, on the device and on the CPU."""
  shape = Shape(32, 2, 4) if plan.quick else LOSS_SHAPE
  steps = 3 if plan.quick else LOSS_STEPS
  cpu, device = jax.devices('cpu')[0], jax.devices()[0]
  # Compiled and run side by side: nothing is timed here.
  kinds: dict[str, tuple[Any, ...]] = {
    'float32 on the CPU': (cpu, shape, 'float32', steps),
    'bfloat16 on the CPU': (cpu, shape, 'bfloat16', steps),
    'bfloat16': (device, shape, 'bfloat16', steps),
    'float32': (device, shape, 'float32', steps),
    'float32 in full precision': (device, shape, 'float32', steps, 'float32'),
  }
  missing = [name for name in kinds if not plan.has('losses', name)]
  pool = concurrent.futures.ThreadPoolExecutor(len(kinds), COMPILING)
  try:
    found = {name: pool.submit(training_losses, *kinds[name]) for name in missing}
    for name in missing:
      take = functools.partial(_compare_losses, plan, name, found[name].result)
      yield Measurement(name, take, shape, kinds[name][2])
  finally:
    pool.shutdown(wait=False, cancel_futures=True)


def _compare_losses(plan: Plan, name: str, take: Callable[[], dict[str, list[float]]]) -> Row:
  found = take()
  others = {'bfloat16': 'bfloat16 on the CPU', 'float32 on the CPU': ''}
  other = others.get(name, 'float32 on the CPU')
  if not other:
    return {'value': found['generator'][-1], 'unit': 'loss', 'losses': found}
  known = (plan.results.find('losses', other) or {}).get('losses')
  if not known:
    raise InputError(f'there are no losses {other!r} to compare with')
  differences = relative_differences(found, known)
  return {
    'value': max(max(of_one) for of_one in differences.values()),
    'unit': f'largest relative difference from {other}',
    'at_first_step': max(of_one[0] for of_one in differences.values()),
    'by_loss': {name: max(of_one) for name, of_one in differences.items()},
    'losses': found,
  }


def profile(plan: Plan) -> Iterator[Measurement]:
  """Where the time of a step goes, at the first shape."""
  shape = (QUICK_SHAPES if plan.quick else SHAPES)[0]
  dtypes = DTYPES[:1] if plan.quick else DTYPES
  jobs = [(shape, dtype) for dtype in dtypes if not plan.has('profile', dtype)]
  programs = compile_ahead(jobs, COMPILED_AT_ONCE)
  for job in jobs:
    yield Measurement(job[1], functools.partial(_profile, plan, programs, job), *job)


def _profile(plan: Plan, programs: dict[Job, Any], job: Job) -> Row:
  compiled, _ = programs.pop(job).result()
  row = benchmark_profile(compiled, *job, plan.details)
  del row['name']
  return {'value': row.pop('busy_ms'), 'unit': 'ms', **row}


def detector(plan: Plan) -> Iterator[Measurement]:
  """The recipe `bands`: the pass over the images, the fit and scoring."""
  size, batch = (32, 8) if plan.quick else (256, 32)
  yield Measurement(
    'bands',
    lambda: _rates(benchmark_bands(Shape(size, 0, batch), 20 if plan.quick else 300)),
    Shape(size, 0, batch),
  )


def _rates(rows: Sequence[Row]) -> list[Row]:
  """The rows of a benchmark with their main figure as 'value'."""
  units = {'images_per_second': 'images/s', 'seconds': 's', 'mib': 'MiB'}
  found = []
  for row in rows:
    key = next(key for key in units if key in row)
    others = {k: v for k, v in row.items() if k != key}
    found.append({**others, 'value': row[key], 'unit': units[key]})
  return found


def table_1(plan: Plan) -> Iterator[Measurement]:
  """Two categories of Table I as the release trains them, in bfloat16, seed after seed."""
  cells = itertools.product(range(1 if plan.quick else SEEDS), CATEGORIES)
  for seed, category in itertools.islice(cells, 1 if plan.quick else None):
    fields = {'model.dtype': 'bfloat16', 'seed': seed}
    take = functools.partial(_train_and_evaluate, plan, category, fields)
    yield Measurement(
      f'{category}, seed {seed}', take, None if plan.quick else SHAPES[0], 'bfloat16'
    )


def _train_and_evaluate(plan: Plan, category: str, fields: dict[str, Any]) -> Row:
  """Trains a model and evaluates its last checkpoint, the only one that is validated."""
  config = experiment.config_of(
    'mvtec',
    category,
    'release',
    {
      'data_dir': str(Path(plan.data_dir, 'mvtec_ad')),
      'train.pictures': False,
      **(experiment.QUICK if plan.quick else {}),
      **fields,
      'train.checkpoint_every': AT_THE_END,
    },
  )
  (outcome,) = runner.run_all([config], plan.workdir).values()
  if 'error' in outcome:
    raise InputError(outcome['error'])
  kept = ('image_auroc_interval', 'pixel_auroc', 'steps', 'minutes', 'run')
  return {'value': outcome['last'], 'unit': 'AUROC', **{key: outcome[key] for key in kept}}


def memory(plan: Plan) -> Iterator[Measurement]:
  """The largest batch, by the compiler and in truth, and the input pipeline."""
  shape = Shape(32, 2, 0) if plan.quick else Shape(256, 64, 0)
  dtypes = DTYPES[:1] if plan.quick else DTYPES
  for dtype in dtypes:
    take = functools.partial(_largest_batch, shape, dtype)
    yield Measurement(f'largest batch {dtype}', take, shape, dtype)
  yield Measurement('input', lambda: _rates(benchmark_input(*((4, 4) if plan.quick else ()))))
  for dtype in dtypes:
    take = functools.partial(_train_with_largest, plan, shape, dtype)
    yield Measurement(f'train with the largest batch {dtype}', take, shape, dtype)


def _largest_batch(shape: Shape, dtype: str) -> Row:
  row = benchmark_memory(shape, dtype)
  return {'value': row['largest_batch'], 'unit': 'images', 'mib_an_image': row['mib_an_image']}


def _train_with_largest(plan: Plan, shape: Shape, dtype: str) -> Row:
  """Steps with a batch a little under the largest; on a CPU with a small one."""
  device = jax.devices()[0]
  largest = (plan.results.find('memory', f'largest batch {dtype}') or {}).get('value')
  if not largest:
    raise InputError('the largest batch is not known')
  batch = 8 if device.platform == 'cpu' else int(0.95 * largest) // 8 * 8
  job = (shape._replace(batch=batch), dtype)
  row = _time_step(compile_ahead([job], 1), job)
  peak = (device.memory_stats() or {}).get('peak_bytes_in_use')
  return {**row, 'batch': batch, 'peak_gib': peak and peak / 2**30}


# In the order of worth, with the minutes that each may take.
SECTIONS: dict[str, tuple[Callable[[Plan], Iterator[Measurement]], float]] = {
  'ceilings': (ceilings, 1),
  'step': (step, 5),
  'profile': (profile, 2),
  'losses': (losses, 3),
  'shapes': (shapes, 10),
  'detector': (detector, 4),
  'table_1': (table_1, 15),
  'memory': (memory, 6),
}


def main() -> int:
  """Runs the command."""
  values = flags.FLAGS
  command_line.refuse_duplicates('sections', values.sections)
  _check_sections('sections', values.sections)
  minutes = {name: limit for name, (_, limit) in SECTIONS.items()} | _minutes(values.minutes)
  output = Path(values.output)
  check_writable(output, '--output')
  results = Results(output, retry=values.retry)
  about = _about(values.commit)
  print(machine())
  end = time.monotonic() + 60 * values.total_minutes if values.total_minutes else float('inf')
  failed = False
  for name in values.sections:
    deadline = min(time.monotonic() + 60 * minutes[name], end)
    plan = Plan(
      results,
      values.quick,
      values.data_dir,
      Path(values.workdir or output.with_suffix('')),
      values.reference,
      Path(values.details) if values.details else None,
      deadline,
    )
    failed |= run_section(name, plan, about)
    jax.clear_caches()  # the next section has programs of its own
  if any(thread.name.startswith(COMPILING) for thread in threading.enumerate()):
    # Of a section whose time is over. Python would wait for the compiler; all is written.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(failed))
  return int(failed)


def run_section(name: str, plan: Plan, about: Row) -> bool:
  """Measures what is missing of a section, until its time is over.

  Args:
    name: of SECTIONS.
    plan: of the section.
    about: fields of each row.

  Returns:
    Whether something failed.
  """
  failed = False
  try:
    with (
      time_limit(plan.seconds_left),
      contextlib.closing(_guarded(SECTIONS[name][0](plan))) as found,
    ):
      for measurement in found:
        if plan.has(name, measurement.name):
          continue
        for row in _rows(measurement):
          failed |= 'error' in row
          plan.results.add({'section': name, **row, **about})
        gc.collect()  # or the arrays of what failed would stay in memory
  except TimeUp:
    print(f'{name}: its time is over', file=sys.stderr)
  return failed


def _guarded(measurements: Iterator[Measurement]) -> Generator[Measurement, None, None]:
  """The measurements; what fails between them is one more that fails."""
  try:
    yield from measurements
  except Exception as error:
    yield Measurement('preparation', functools.partial(_raise, error))


def _raise(error: Exception) -> Row:
  raise error


def _rows(measurement: Measurement) -> list[Row]:
  """Takes a measurement, and returns its rows, or one that says in a line what went wrong."""
  start = time.perf_counter()
  try:
    found = measurement.take()
    rows = found if isinstance(found, list) else [found]
  except Exception as error:
    if not isinstance(error, InputError):
      traceback.print_exc()
    message = str(error).strip().partition('\n')[0] or type(error).__name__
    print(f'{measurement.name}: failed: {message[:300]}', file=sys.stderr)
    rows = [{'error': message[:300]}]
  shared = {
    'shape': list(measurement.shape) if measurement.shape else None,
    'dtype': measurement.dtype,
    'took_seconds': round(time.perf_counter() - start, 2),
  }
  name = measurement.name
  return [{'measurement': name, 'name': name, **row, **shared} for row in rows]


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
  """Raises TimeUp within, as soon as Python code runs after that time."""

  def stop(number: int, frame: FrameType | None) -> None:
    raise TimeUp

  previous = signal.signal(signal.SIGALRM, stop)
  # Again every few seconds, if it is raised where no exception is passed on.
  signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), 5.0)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def _minutes(texts: Sequence[str]) -> dict[str, float]:
  """The values of `--minutes=step:5,table_1:10`.

  Raises:
    InputError: if one names no section or no number.
  """
  pairs = [text.partition(':') for text in texts]
  _check_sections('minutes', [name for name, _, _ in pairs])
  try:
    return {name: float(number) for name, _, number in pairs}
  except ValueError:
    raise InputError(f'--minutes={",".join(texts)}: give minutes, as in step:5') from None


def _check_sections(flag: str, names: Sequence[str]) -> None:
  for name in names:
    if name not in SECTIONS:
      raise InputError(f'--{flag}: no section {name!r}; there are {", ".join(SECTIONS)}')


def _about(commit: str) -> Row:
  """On what the rows were measured."""
  device = jax.devices()[0]
  versions = {
    'python': platform.python_version(),
    'jax': jax.__version__,
    'jaxlib': jaxlib.__version__,
    'numpy': np.__version__,
    'platform': device.client.platform_version.replace('\n', ' '),
  }
  return {'device': device.device_kind, 'versions': versions, 'commit': commit}


if __name__ == '__main__':
  flags.DEFINE_string('output', None, 'the file of results, one JSON line each')
  flags.DEFINE_list('sections', [*SECTIONS], 'what to measure, in this order')
  flags.DEFINE_list('minutes', [], 'that sections may take, as in step:5,table_1:10')
  flags.DEFINE_float('total_minutes', 0, 'that all may take together; 0: no limit', lower_bound=0)
  flags.DEFINE_string('data_dir', '', 'holds the folders mvtec_ad and dagm')
  flags.DEFINE_string('workdir', '', 'of the trained models; by default beside --output')
  flags.DEFINE_string('reference', '', 'a command that times PyTorch, as of experiments.benchmark')
  flags.DEFINE_string('details', '', 'folder for traces and compiled programs')
  flags.DEFINE_string('commit', '', 'of the code, for the rows')
  flags.DEFINE_bool('quick', False, 'tiny sizes: to see that it works')
  flags.DEFINE_bool('retry', False, 'measure again what failed')
  flags.mark_flag_as_required('output')
  command_line.run(main)
