"""Where the time of a training step goes on the device, kernel by kernel."""

import collections
import contextlib
import gzip
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData
from jax.stages import Compiled

from experiments.benchmark.ahead import first_state
from experiments.benchmark.programs import Shape, first_device, random_batch
from ocrgan_jax.core import sharding

STEPS = 5  # that are traced
WARM_SECONDS = 1.0  # of steps before, or an accelerator's clocks are still low
LONGEST = 10
# The kinds of kernels, by the first pattern that is found in the name.
KINDS = {
  'convolutions and products': r'conv(?!ert)|cudnn|xmma|cutlass|gem[mv]|fprop|[dw]grad|dot|nvjet',
  'layouts': r'transpose|nchw|nhwc|copy',
  'reductions': r'reduc',
  'memory': r'memcpy|memset',
  'fusions': r'fusion|wrapped|loop|input',
}
_OPERATION = re.compile(r'^\s*(?:ROOT )?%?[\w.-]+ = .*? ([a-z][\w-]*)\(', re.M)


class Kernel(NamedTuple):
  """A kernel of a trace.

  Attributes:
    name: of the kernel.
    operation: of the compiled program that it belongs to; '' if the trace has none.
    seconds: it took.
  """

  name: str
  operation: str
  seconds: float


def benchmark_profile(
  compiled: Compiled, shape: Shape, dtype: str, details: Path | None = None
) -> dict[str, Any]:
  """Traces a few training steps.

  Args:
    compiled: the training step.
    shape: of the model and its batch.
    dtype: of the computation.
    details: folder for the trace and the compiled program; None to keep neither.

  Returns:
    The row: the busy and the whole time of a step, the share of each kind of kernel and of the
    longest ones, and how often each operation is in the compiled program.
  """
  batch = random_batch(shape, first_device())
  state = sharding.in_layout(compiled, first_state(shape))

  def call() -> Any:
    nonlocal state
    state, losses = compiled(state, batch)
    return losses

  end = time.monotonic() + (0 if jax.default_backend() == 'cpu' else WARM_SECONDS)
  jax.block_until_ready(call())
  while time.monotonic() < end:
    jax.block_until_ready(call())
  text = compiled.as_text() or ''
  with tempfile.TemporaryDirectory() as folder:
    whole = trace(Path(folder), call) / STEPS
    (path,) = Path(folder).rglob('*.xplane.pb')
    content = path.read_bytes()
  if details:
    details.mkdir(parents=True, exist_ok=True)
    name = f'{shape.size}_{shape.width}_{shape.batch}_{dtype}'
    (details / f'trace_{name}.xplane.pb.gz').write_bytes(gzip.compress(content))
    (details / f'program_{name}.txt.gz').write_bytes(gzip.compress(text.encode()))
  kernels, repeats = of_fewest_steps(list(kernels_of(content)))
  busy = sum(kernel.seconds for kernel in kernels)
  by_kind, inside = collections.Counter[str](), contents_of(text)
  by_name: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
  for kernel in kernels:
    by_kind[kind_of(kernel, inside)] += kernel.seconds  # type: ignore[assignment]
    by_name[kernel.name, kernel.operation].append(kernel.seconds)
  longest = sorted(by_name.items(), key=lambda item: -sum(item[1]))[:LONGEST]
  row: dict[str, Any] = {
    'name': f'profile {shape} {dtype}',
    'step_ms': 1e3 * whole,
    'busy_ms': 1e3 * busy / repeats,
    'kernels_a_step': len(kernels) / repeats,
    'kinds': {kind: seconds / busy for kind, seconds in by_kind.most_common()},
    'longest': [
      {
        'kernel': kernel,
        'operation': operation,
        'share': sum(seconds) / busy,
        'ms': 1e3 * sum(seconds) / repeats,
        'calls': len(seconds) / repeats,
      }
      for (kernel, operation), seconds in longest
    ],
    'operations': dict(operations_of(text).most_common(30)),
  }
  shares = ', '.join(f'{kind} {share:.0%}' for kind, share in row['kinds'].items())
  print(
    f'{row["name"]}: {row["step_ms"]:.2f} ms a step with tracing, {row["busy_ms"]:.2f} ms in '
    f'{row["kernels_a_step"]:.0f} kernels: {shares}'
  )
  for kernel in row['longest']:
    print(f'  {kernel["share"]:6.1%} {kernel["ms"]:8.3f} ms  {kernel["kernel"][:90]}')
  return row


def trace(folder: Path, call: Callable[[], Any]) -> float:
  """Traces STEPS calls into a folder, and returns the seconds they took."""
  with jax.profiler.trace(str(folder)):
    start = time.perf_counter()
    jax.block_until_ready([call() for _ in range(STEPS)])
    return time.perf_counter() - start


def kernels_of(content: bytes) -> Iterator[Kernel]:
  """The kernels of a trace: of an accelerator's streams, or what a CPU computed.

  Args:
    content: of the `.xplane.pb` that the profiler wrote.

  Yields:
    Each call of a kernel.
  """
  planes: list[Any] = list(ProfileData.from_serialized_xspace(content).planes)
  devices = [plane for plane in planes if plane.name.startswith('/device:')]
  for plane in devices or planes:
    for line in plane.lines:
      # Others of an accelerator's lines tell the same again, by operations and by modules.
      if devices and not line.name.startswith('Stream'):
        continue
      for event in sorted(line.events, key=lambda event: event.start_ns):
        stats = _stats(event)
        if devices or 'hlo_op' in stats:
          yield Kernel(event.name, str(stats.get('hlo_op', '')), event.duration_ns / 1e9)


def of_fewest_steps(kernels: list[Kernel]) -> tuple[list[Kernel], int]:
  """The kernels of one step, each with its least time over the steps of a trace.

  The profiler now and then stops the device for a millisecond, and the kernel that runs then
  gets it.

  Args:
    kernels: of STEPS steps, in their order.

  Returns:
    Those of one step, and 1. Where the steps do not show the same ones in the same order, as on
    a CPU's threads: all of them, and STEPS.
  """
  count = len(kernels) // STEPS
  steps = [kernels[i * count : (i + 1) * count] for i in range(STEPS)]
  names = [[kernel[:2] for kernel in step] for step in steps]
  if count * STEPS != len(kernels) or any(other != names[0] for other in names[1:]):
    return kernels, STEPS
  return [min(same, key=lambda kernel: kernel.seconds) for same in zip(*steps, strict=True)], 1


def kind_of(kernel: Kernel, inside: Mapping[str, str] = MappingProxyType({})) -> str:
  """The kind of a kernel, of KINDS, or 'others'.

  Args:
    kernel: of a trace.
    inside: from `contents_of`. It tells what a fusion is whose name does not: those of a CPU's
      libraries have convolutions inside.
  """
  text = f'{kernel.name} {kernel.operation}'.lower()
  kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, text)), 'others')
  if kind == 'fusions':
    content = inside.get(kernel.operation, '')
    telling = ('convolutions and products', 'reductions')
    kind = next((known for known in telling if re.search(KINDS[known], content)), kind)
  return kind


def contents_of(text: str) -> dict[str, str]:
  """The operations inside each fusion of a compiled program: name → their names, joined."""
  bodies = dict(re.findall(r'^%?([\w.-]+) \([^\n]*\{\n(.*?)^\}', text, re.M | re.S))
  called = re.findall(r'^\s*(?:ROOT )?%?([\w.-]+) = .*? fusion\(.*?calls=%?([\w.-]+)', text, re.M)
  return {name: ' '.join(_OPERATION.findall(bodies.get(body, ''))) for name, body in called}


def operations_of(text: str) -> collections.Counter[str]:
  """How often each operation is in a compiled program; calls of libraries by their target."""
  found = collections.Counter(_OPERATION.findall(text))
  found.update(re.findall(r'custom_call_target="([^"]+)"', text))
  return found


def _stats(event: Any) -> dict[str, Any]:
  with contextlib.suppress(Exception), warnings.catch_warnings():
    warnings.simplefilter('ignore')  # Python 3.12 finds fault with the type of the statistics
    return dict(event.stats)
  return {}
