"""What an accelerator buys, measured in the quick form on a CPU."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import accelerator
from experiments.accelerator import Measurement, Plan, Results
from experiments.benchmark.kernels import (
  STEPS,
  Kernel,
  contents_of,
  kind_of,
  of_fewest_steps,
  operations_of,
)
from experiments.benchmark.losses import relative_differences
from tests.conftest import REPOSITORY, run_module, smooth_image, write_images

# Of each section in its quick form.
MEASURED = {
  'ceilings': 5,
  'step': 6,
  'shapes': 6,
  'losses': 5,
  'profile': 1,
  'detector': 1,
  'memory': 3,
}
TRAINED = {'table_1': 1}


def read(path: Path) -> list[dict[str, Any]]:
  return [json.loads(line) for line in path.read_text().splitlines()]


def measured(rows: list[dict[str, Any]]) -> dict[str, int]:
  found: dict[str, set[str]] = {}
  for row in rows:
    found.setdefault(row['section'], set()).add(row['measurement'])
  return {section: len(names) for section, names in found.items()}


def command(path: Path, *flags: str) -> list[str]:
  return ['experiments.accelerator', '--quick', f'--output={path}', *flags]


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """Small datasets in the layout of MVTec AD's bottle and screw."""
  root, rng = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
  draw = lambda count: [smooth_image(rng, 40) for _ in range(count)]
  for category in accelerator.CATEGORIES:
    for folder, count in (('train/good', 20), ('test/good', 5), ('test/scratch', 5)):
      write_images(root / 'mvtec_ad' / category / folder, draw(count))
  return root


@pytest.mark.slow
def test_every_section_in_its_quick_form(data_dir: Path, tmp_path: Path) -> None:
  output = tmp_path / 'results.jsonl'
  flags = [
    f'--data_dir={data_dir}',
    '--reference=echo 12.0 img/s',
    f'--details={tmp_path / "details"}',
    '--commit=abc',
    f'--minutes={",".join(f"{section}:30" for section in accelerator.SECTIONS)}',
  ]
  ended = run_module(*command(output, *flags))
  assert ended.returncode == 0, ended.stderr
  rows = read(output)
  assert not [row for row in rows if 'error' in row]
  assert measured(rows) == MEASURED | TRAINED
  assert list(dict.fromkeys(row['section'] for row in rows)) == [*accelerator.SECTIONS]
  assert all(row['device'] == 'cpu' and row['commit'] == 'abc' for row in rows)
  by_name = {(row['section'], row['name']): row for row in rows}
  ours = by_name['step', 'train (32, 2, 4) bfloat16']['value']
  reference = by_name['step', 'train (32, 2, 4) bfloat16, PyTorch compile']
  assert reference['value'] == 12 and reference['ours_times_that'] == pytest.approx(ours / 12)
  assert by_name['losses', 'float32']['value'] == 0  # the device is the CPU itself
  assert 0 < by_name['losses', 'bfloat16 on the CPU']['at_first_step'] < 0.1
  profile = by_name['profile', 'bfloat16']
  assert len(profile['longest']) == 10 and sum(profile['kinds'].values()) == pytest.approx(1)
  assert 0 <= by_name['table_1', 'bottle, seed 0']['value'] <= 1
  assert len([*(tmp_path / 'details').iterdir()]) == 2
  # Nothing is left to measure.
  again = run_module(*command(output, *flags))
  assert again.returncode == 0, again.stderr
  assert read(output) == rows


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
  output = tmp_path / 'results.jsonl'
  arguments = command(output, '--sections=ceilings')
  process = subprocess.Popen([sys.executable, '-m', *arguments], cwd=REPOSITORY)
  while not output.exists():
    assert process.poll() is None
    time.sleep(0.05)
  process.send_signal(signal.SIGKILL)
  process.wait()
  output.write_text(output.read_text() + '{"section": "ceil')  # as if within a line
  before = read_whole(output)
  assert run_module(*arguments).returncode == 0
  rows = read(output)
  assert rows[: len(before)] == before
  names = [row['name'] for row in rows]
  assert len(names) == len({*names}) == MEASURED['ceilings']


def read_whole(path: Path) -> list[dict[str, Any]]:
  return [json.loads(line) for line in path.read_text().splitlines()[:-1]]


def plan_for(path: Path, seconds: float = 60, *, retry: bool = False) -> Plan:
  results = Results(path, retry=retry)
  return Plan(results, True, '', path.parent, '', None, time.monotonic() + seconds)


def test_what_fails_is_one_line_and_the_rest_is_measured(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  taken = []

  def fail() -> dict[str, Any]:
    taken.append('fails')
    raise RuntimeError('RESOURCE_EXHAUSTED: Out of memory\nwhile running …')

  def section(plan: Plan) -> Any:
    yield Measurement('fails', fail)
    yield Measurement('works', lambda: {'value': 1.0, 'unit': 'images/s'})
    raise ValueError('no more')

  monkeypatch.setitem(accelerator.SECTIONS, 'made up', (section, 1))
  path = tmp_path / 'results.jsonl'
  assert accelerator.run_section('made up', plan_for(path), {'device': 'none'})
  found = [(row['name'], row.get('value'), row.get('error')) for row in read(path)]
  assert found == [
    ('fails', None, 'RESOURCE_EXHAUSTED: Out of memory'),
    ('works', 1.0, None),
    ('preparation', None, 'no more'),
  ]
  assert not accelerator.run_section('made up', plan_for(path), {})
  assert len(read(path)) == 3 and taken == ['fails']
  assert accelerator.run_section('made up', plan_for(path, retry=True), {})
  assert taken == ['fails', 'fails']


# The alarm may ring in a callback that passes no exception on; then it rings again.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_section_ends_with_its_time(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  def stay() -> dict[str, Any]:
    try:
      time.sleep(30)
    except Exception:  # as training catches what goes wrong
      pytest.fail('taken for an error')
    return {}

  def section(plan: Plan) -> Any:
    yield Measurement('quick', lambda: {'value': 1.0, 'unit': 's'})
    yield Measurement('long', stay)

  monkeypatch.setitem(accelerator.SECTIONS, 'made up', (section, 1))
  start = time.monotonic()
  assert not accelerator.run_section('made up', plan_for(tmp_path / 'r.jsonl', 0.5), {})
  assert time.monotonic() - start < 10
  assert [row['name'] for row in read(tmp_path / 'r.jsonl')] == ['quick']
  assert 'made up: its time is over' in capsys.readouterr().err


@pytest.mark.parametrize(
  'flag, message',
  [
    ('--sections=step,banana', "--sections: no section 'banana'; there are ceilings, step"),
    ('--minutes=step', '--minutes=step: give minutes, as in step:5'),
    ('--minutes=bananas:3', "--minutes: no section 'bananas'"),
  ],
)
def test_mistakes_get_one_line(flag: str, message: str, tmp_path: Path) -> None:
  ended = run_module(*command(tmp_path / 'results.jsonl', flag))
  assert ended.returncode == 1 and f'error: {message}' in ended.stderr
  assert ended.stderr.count('\n') == 1


def test_a_kernel_that_the_profiler_stopped_counts_with_its_least_time() -> None:
  of_step = [Kernel('a', 'x', 1.0), Kernel('b', 'y', 2.0)]
  kernels = of_step * STEPS
  kernels[3] = Kernel('b', 'y', 900.0)
  assert of_fewest_steps(kernels) == (of_step, 1)
  # In another order nothing can be compared.
  kernels[0], kernels[1] = kernels[1], kernels[0]
  assert of_fewest_steps(kernels) == (kernels, STEPS)


def test_kernels_have_a_kind() -> None:
  kinds = {
    'sm90_xmma_fprop_implicit_gemm_bf16': 'convolutions and products',
    'input_reduce_fusion_12': 'reductions',
    'loop_add_fusion': 'fusions',
    'void cudnn::ops::nchwToNhwcKernel': 'convolutions and products',
    'transpose_3': 'layouts',
    'MemcpyD2D': 'memory',
    'wrapped_convert': 'fusions',
    'something': 'others',
  }
  assert {name: kind_of(Kernel(name, '', 1.0)) for name in kinds} == kinds


def test_a_fusion_is_what_is_inside() -> None:
  text = """%made (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %c = f32[2]{0} convolution(%p, %p), dim_labels=b01f
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  ROOT %fusion.1 = f32[2]{0} fusion(%x), kind=kCustom, calls=%made
}"""
  inside = contents_of(text)
  assert inside == {'fusion.1': 'parameter convolution'}
  of = lambda name: kind_of(Kernel(name, name, 1.0), inside)
  assert (of('fusion.1'), of('fusion.2')) == ('convolutions and products', 'fusions')


def test_operations_of_a_compiled_program() -> None:
  text = """ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  %y = bf16[2]{0} convert(%x)
  %z = (f32[2]{0}, u8[0]{0}) custom-call(%y), custom_call_target="__cudnn$convForward"
  ROOT %fusion.1 = f32[2]{0} fusion(%y), kind=kLoop, calls=%made
}"""
  names = ['parameter', 'convert', 'custom-call', 'fusion', '__cudnn$convForward']
  assert operations_of(text) == dict.fromkeys(names, 1)


def test_relative_differences_are_those_of_each_step() -> None:
  found = relative_differences({'content': [1.1, 2.0]}, {'content': [1.0, 4.0]})
  assert found['content'] == pytest.approx([0.1, 0.5])
