"""How fast the parts are: `python -m experiments.benchmark --what=train|score|…|all`.

Prints a table and, as its last line, the same as JSON. Every figure is the median
over repeats within one run; the spread beside it is from the least to the largest.
"""

import functools
import itertools
import json
import os
import platform
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.sharding import Mesh
from jax.stages import Compiled, Wrapped
from PIL import Image

from configs import default, folder
from ocrgan_jax import command_line, sharding
from ocrgan_jax.data import prepare_dataset
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.pipeline import TrainingBatches, load_images
from ocrgan_jax.errors import InputError
from ocrgan_jax.networks.discriminator import LATENT_SIZE
from ocrgan_jax.settings import build_model
from ocrgan_jax.state import OCRGAN, State
from ocrgan_jax.step import score_step, train_step
from ocrgan_jax.together import train_together
from ocrgan_jax.train import new_state

REPEATS = 7
PHOTO_SIZE = 900  # of MVTec AD's bottle


class Shape(NamedTuple):
  """What a step's time depends on: side of the images, width w, and images a step."""

  size: int
  width: int
  batch: int

  def __str__(self) -> str:
    """As the tables have it."""
    return f'({self.size}, {self.width}, {self.batch})'

  @classmethod
  def parse(cls, text: str) -> 'Shape':
    """Of `size:width:batch`."""
    try:
      return cls(*map(int, text.split(':')))
    except (TypeError, ValueError):
      raise InputError(f'{text!r} is no shape; --shapes takes size:width:batch') from None


def machine() -> str:
  """The machine in words."""
  model = platform.processor() or platform.machine()
  cpuinfo = Path('/proc/cpuinfo')
  if cpuinfo.exists():
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
    model = names[0].split(':', 1)[1].strip() if names else model
  device = jax.devices()[0].device_kind
  tunables = os.environ.get('GLIBC_TUNABLES')  # which decides how memory is come by on a CPU
  return (
    f'{os.cpu_count()} cores, {model}; device {device}; Python {platform.python_version()}, '
    f'jax {jax.__version__}{f"; GLIBC_TUNABLES={tunables}" if tunables else ""}'
  )


def rate(batches: Iterator[np.ndarray], count: int) -> list[float]:
  """Images/s of an iterator, REPEATS times over `count` batches, after a warm-up."""
  rates = []
  for repeat in range(REPEATS + 1):
    start, images = time.perf_counter(), 0
    for _ in range(count):
      images += len(next(batches))
    if repeat:
      rates.append(images / (time.perf_counter() - start))
  return rates


def row(name: str, rates: list[float]) -> dict[str, Any]:
  """One line of the table, printed and kept."""
  result = {
    'name': name,
    'images_per_second': float(np.median(rates)),
    'spread': [min(rates), max(rates)],
  }
  print(f'{name:50} {np.median(rates):10.2f} images/s  ({min(rates):.2f} to {max(rates):.2f})')
  return result


def photographs(root: Path, count: int) -> Split:
  """Prepares made-up photographs, PNGs of 900×900: smooth colours with sensor noise."""
  rng = np.random.default_rng(0)
  for i in range(count):
    small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    smooth = Image.fromarray(small).resize((PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.BICUBIC)
    noise = rng.integers(-2, 3, (PHOTO_SIZE, PHOTO_SIZE, 3))
    pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(root / f'{i:03}.png', compress_level=1)
  config = folder.get_config()
  config.data.prepared_dir = str(root / 'prepared')
  return prepare_dataset(str(root), config.data).train


def benchmark_input() -> list[dict[str, Any]]:
  """Images/s of the pipeline alone, at 256 and 32, in memory and streamed from large PNGs."""
  rows = []
  rng = np.random.default_rng(0)
  for size, count in ((256, 512), (32, 8192)):
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    batches = TrainingBatches(images, 32, seed=0)
    rows.append(row(f'in memory, {size}, batch 32', rate(batches, 8 * 512 // size)))
  with tempfile.TemporaryDirectory() as root:
    photos = photographs(Path(root), 64)
    for size in (256, 32):
      streamed = load_images(photos, size, memory_gib=0)
      for workers in (0, os.cpu_count() or 1):
        batches = TrainingBatches(streamed, 32, seed=0, workers=workers)
        how = f'{workers} worker processes' if workers else 'threads'
        rows.append(
          row(f'streamed from {PHOTO_SIZE}×{PHOTO_SIZE} PNGs, {size}, {how}', rate(batches, 4))
        )
  return rows


def step_arguments(shape: Shape, dtype: str) -> tuple[Mesh, OCRGAN, State, jax.Array]:
  """A model of the defaults, its new state and random images, on the first device.

  Args:
    shape: of the model and its batch.
    dtype: of the computation.

  Returns:
    The mesh of that device, the model, the state, and uint8 [batch, size, size, 3].
  """
  config = default.get_config()
  config.image_size, config.model.width, config.model.dtype = shape.size, shape.width, dtype
  # As wide as the reference's: G's width up to 16, else the paper's 64.
  config.model.discriminator_width = shape.width if shape.width <= 16 else 64
  model = build_model(config)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (shape.batch, shape.size, shape.size, 3), dtype=np.uint8)
  mesh = sharding.make_mesh(jax.devices()[:1])
  return mesh, model, new_state(model, mesh)(0), sharding.put_batch(images, mesh)


def flops_by_hand(shape: Shape) -> dict[str, float]:
  """The products and sums of the convolutions of a step, two to a product, branches and all.

  A forward pass of G or D is counted once, its gradient by the parameters as much again,
  and by the input as much again. G's loss needs G's forward pass and both gradients, and
  D's gradient by its input; D's loss needs D's forward pass and both gradients for three
  inputs. Gradients by the images themselves are left out.

  Args:
    shape: of the model and its batch.

  Returns:
    `train` and `score`.
  """
  size, width = shape.size, shape.width
  depth = size.bit_length() - 1
  channels = [width * min(2**i, 8) for i in range(depth)]
  conv = lambda pixels, inputs, outputs: 2 * 16 * pixels * inputs * outputs
  encoder = [
    conv((size >> (i + 1)) ** 2, inputs, outputs)
    for i, (inputs, outputs) in enumerate(zip([3, *channels], channels, strict=False))
  ]
  # A transposed convolution of stride 2 meets each input pixel with each of its weights.
  inputs = [2 * c for c in channels[:-1]] + [channels[-1]]
  decoder = [conv((size >> (i + 1)) ** 2, inputs[i], ([3, *channels])[i]) for i in range(depth)]
  g = 2 * sum(encoder + decoder)
  g_first = 2 * encoder[0]
  layers, c, side = [], width if width <= 16 else 64, size // 2
  layers.append(conv(side**2, 3, c))
  while side > 4:
    c, side = 2 * c, side // 2
    layers.append(conv(side**2, c // 2, c))
  layers.append(conv(1, c, LATENT_SIZE))
  d = sum(layers)
  train = 3 * g - g_first + 3 * (3 * d - layers[0]) + d
  return {'train': shape.batch * train, 'score': shape.batch * (g + 2 * d)}


def benchmark_products(dtype: str) -> dict[str, Any]:
  """What the device reaches at large products of matrices: what a step could at most.

  Args:
    dtype: of the matrices.

  Returns:
    The row.
  """
  side = 2048 if jax.default_backend() == 'cpu' else 8192
  matrix = jnp.ones((side, side), dtype)
  multiply = jax.jit(lambda a: a @ a)
  seconds = float(np.median(time_calls(lambda: multiply(matrix), REPEATS)))
  gflops = 2 * side**3 / seconds / 1e9
  print(f'{f"products of {side}×{side} matrices, {dtype}":50} {gflops:10.1f} GFLOP/s')
  return {'name': 'products', 'gflops': gflops}


def time_calls(call: Callable[[], Any], repeats: int) -> list[float]:
  """Seconds of each of `repeats` calls, after two that do not count."""
  seconds = []
  for repeat in range(repeats + 2):
    start = time.perf_counter()
    jax.block_until_ready(call())
    if repeat > 1:
      seconds.append(time.perf_counter() - start)
  return seconds


def training_step(model: OCRGAN, mesh: Mesh) -> Wrapped:
  """The jitted training step, as one model is trained."""
  return sharding.jit_over_batch(functools.partial(train_step, model=model), mesh, donate=True)


def peak_memory(compiled: Compiled) -> int:
  """Bytes that a compiled program needs on its device, as its compiler says."""
  memory: Any = compiled.memory_analysis()
  peak: int = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes
  )
  return peak


def benchmark_step(what: str, shape: Shape, dtype: str) -> dict[str, Any]:
  """Compiles and times the training step or the scoring of one shape.

  Args:
    what: 'train' or 'score'.
    shape: of the model and its batch.
    dtype: of the computation.

  Returns:
    The row.
  """
  mesh, model, state, images = step_arguments(shape, dtype)
  if what == 'train':
    function = training_step(model, mesh)
    arguments: tuple = state, images
  else:
    scored = lambda *arguments: score_step(*arguments, model=model)['score']
    function = sharding.jit_over_batch(scored, mesh, others=2)
    ones = np.ones([shape.size] * 2, np.float32)
    arguments = state, jax.device_put(ones, sharding.replicated(mesh)), images
  compile_seconds = []
  for _ in range(2):  # the second time from the persistent cache
    jax.clear_caches()
    start = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    compile_seconds.append(time.perf_counter() - start)
  holder = [arguments[0]]

  def call() -> Any:
    results = compiled(holder[0], *arguments[1:])
    if what == 'train':
      holder[0] = results[0]
    return results

  seconds = time_calls(call, REPEATS)
  median = float(np.median(seconds))
  by_hand = flops_by_hand(shape)[what]
  result = {
    **row(f'{what} {shape} {dtype}', [shape.batch / s for s in seconds]),
    'compile_seconds': compile_seconds[0],
    'compile_seconds_from_cache': compile_seconds[1],
    'gflops_by_compiler': compiled.cost_analysis()['flops'] / median / 1e9,
    'gflops_by_hand': by_hand / median / 1e9,
    'memory_gib': peak_memory(compiled) / 2**30,
  }
  print(
    f'    GFLOP/s: {result["gflops_by_hand"]:.1f} by hand, {result["gflops_by_compiler"]:.1f} '
    f'by compiler; {result["memory_gib"]:.2f} GiB; compiled in {compile_seconds[0]:.1f} s, '
    f'from the cache in {compile_seconds[1]:.1f} s'
  )
  return result


def benchmark_reference(what: str, shape: Shape, dtype: str, ours: float) -> dict[str, Any]:
  """Times the same network in plain PyTorch by the command of the flag --reference.

  Args:
    what: 'train' or 'score'.
    shape: of the model and its batch.
    dtype: of the computation.
    ours: images/s to compare with.

  Returns:
    The row.
  """
  device = 'cpu' if jax.default_backend() == 'cpu' else 'cuda'
  mode = 'eager' if device == 'cpu' else 'compile'
  precision = {'float32': 'fp32', 'bfloat16': 'bf16'}[dtype]
  numbers = [str(number) for number in (*shape, REPEATS)]
  command = [*shlex.split(flags.FLAGS.reference), *numbers, device, precision, mode, what]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  found = re.search(r'([\d.]+) img/s', done.stdout)
  if not found:
    raise InputError(f'--reference gave no images/s: {(done.stderr or done.stdout)[-300:]}')
  theirs = float(found.group(1))
  name = f'{what} {shape} {dtype}, PyTorch {mode}'
  print(f'{name:50} {theirs:10.2f} images/s; ours is {ours / theirs:.2f} times that')
  return {'name': name, 'images_per_second': theirs, 'ratio': ours / theirs}


def benchmark_together(shape: Shape, dtype: str, count: int) -> dict[str, Any]:
  """Images/s summed over K models that train together, as training does it here.

  Args:
    shape: of each model and its batch.
    dtype: of the computation.
    count: K.

  Returns:
    The row.
  """
  mesh, model, state, images = step_arguments(shape, dtype)
  states = [jax.device_put(jax.device_get(state), sharding.replicated(mesh)) for _ in range(count)]
  stacked = jax.default_backend() != 'cpu'
  together = train_together(model, mesh, states, shape.batch, stacked=stacked)
  holder, batch = [together.join(states)], images

  def call() -> Any:
    holder[0], metrics = together.step(holder[0], [batch] * count)
    return metrics

  rates = [count * shape.batch / s for s in time_calls(call, REPEATS)]
  return row(f'train {shape} {dtype}, {count} model(s) together', rates)


def step_memory(shape: Shape, dtype: str) -> int:
  """Bytes that the training step of one shape needs, as its compiler says."""
  mesh, model, state, images = step_arguments(shape, dtype)
  return peak_memory(training_step(model, mesh).lower(state, images).compile())


def memory_shares(shape: Shape, dtype: str) -> tuple[float, float]:
  """What the training step needs for each image, and beside them.

  Both come from two batches, large enough that the images' share does not hide
  behind what the gradients of the parameters need.

  Args:
    shape: whose batch is disregarded.
    dtype: of the computation.

  Returns:
    Bytes an image, and bytes beside.
  """
  small, large = (step_memory(shape._replace(batch=batch), dtype) for batch in (16, 32))
  each = (large - small) / 16
  return each, small - 16 * each


def benchmark_memory(shape: Shape, dtype: str) -> dict[str, Any]:
  """The largest batch of a shape that the device's memory holds.

  Args:
    shape: whose batch is disregarded.
    dtype: of the computation.

  Returns:
    The row.
  """
  each, beside = memory_shares(shape, dtype)
  limit = (jax.devices()[0].memory_stats() or {}).get('bytes_limit')
  total = limit or os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  largest = int((total - beside) / each)
  print(
    f'train {shape.size}, width {shape.width}, {dtype}: {each / 2**20:.0f} MiB an image, '
    f'{beside / 2**30:.2f} GiB beside; the largest batch in {total / 2**30:.0f} GiB is {largest}'
  )
  return {'name': 'memory', 'mib_an_image': each / 2**20, 'largest_batch': largest}


def main() -> None:
  """Runs the command."""
  values, rows = flags.FLAGS, []
  wanted = ('train', 'score', 'together', 'memory', 'input')
  wanted = wanted if values.what == 'all' else (values.what,)
  shapes = [Shape.parse(text) for text in values.shapes]
  print(machine())
  rows.append(benchmark_products(values.dtype))
  with tempfile.TemporaryDirectory() as cache:
    jax.config.update('jax_compilation_cache_dir', cache)
    for what, shape in itertools.product(wanted, shapes):
      if what in ('train', 'score'):
        ours = benchmark_step(what, shape, values.dtype)
        rows.append(ours)
        if values.reference:
          rate = ours['images_per_second']
          rows.append(benchmark_reference(what, shape, values.dtype, rate))
    if 'together' in wanted:
      rows += [benchmark_together(shapes[0], values.dtype, count) for count in (1, values.models)]
    if 'memory' in wanted:
      rows.append(benchmark_memory(Shape(256, 64, 0), values.dtype))
    if 'input' in wanted:
      rows += benchmark_input()
  print(json.dumps({'machine': machine(), 'rows': rows}))


if __name__ == '__main__':
  choices = ['train', 'score', 'together', 'memory', 'input', 'all']
  flags.DEFINE_enum('what', 'all', choices, 'what to measure')
  shapes = ['256:4:32', '256:64:4', '32:64:64']
  flags.DEFINE_list('shapes', shapes, 'image size:width:batch of train and score')
  flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'of the computation')
  flags.DEFINE_integer('models', 5, 'K of together, of the first shape')
  flags.DEFINE_string(
    'reference',
    '',
    'a command that times the same network in PyTorch; it is given SIZE WIDTH BATCH STEPS '
    'cpu|cuda fp32|bf16 eager|compile train|score and prints "… img/s"',
  )
  command_line.run(main)
