"""The benchmark, with tiny sizes."""

from pathlib import Path

import pytest

from experiments import rows
from experiments.benchmark.__main__ import SECTIONS, TINY, Options, measure
from experiments.benchmark.flops import flops_by_hand
from experiments.benchmark.memory import step_memory
from experiments.benchmark.programs import Shape, first_device, lower, model_of
from tests.conftest import run_module


def options_for(reference: str = '') -> Options:
  return Options([TINY], ['float32'], ['eager'], reference, quick=True)


@pytest.mark.slow
def test_every_section_is_measured_once(tmp_path: Path) -> None:
  output, options = tmp_path / 'rows.jsonl', options_for('echo 12.0 img/s')
  found, failed = measure([*SECTIONS], options, output, 'abc')
  assert not failed and rows.read(output) == found
  assert list(dict.fromkeys(row['section'] for row in found)) == [*SECTIONS]
  by_name = {row['name']: row for row in found}
  assert len(by_name) == len(found) == 23
  assert all(row['value'] > 0 for row in found if row['section'] != 'losses')
  assert all(row['commit'] == 'abc' and 'device cpu' in row['machine'] for row in found)
  for what in ('train', 'score'):
    ours = by_name[f'{what} {TINY} float32']
    assert ours['spread'][0] <= ours['value'] <= ours['spread'][1]
    reference = by_name[f'{what} {TINY} float32, PyTorch eager']
    assert reference['ours_times_that'] == pytest.approx(ours['value'] / 12)
  assert by_name['losses, float32']['value'] == 0  # the device is the CPU itself
  assert 0 < by_name['losses, bfloat16 on the CPU']['at_first_step'] < 0.1
  # The memory of a large batch follows from that of two small ones.
  (memory,) = (row for row in found if row['section'] == 'memory')
  expected = memory['gib_besides'] * 2**30 + 96 * memory['mib_an_image'] * 2**20
  assert step_memory(TINY._replace(batch=96), 'float32') == pytest.approx(expected, rel=0.05)
  assert measure([*SECTIONS], options, output) == (found, False)  # nothing is left


def test_what_was_cut_off_goes_on(tmp_path: Path) -> None:
  output = tmp_path / 'rows.jsonl'
  first, _ = measure(['ceilings'], options_for(), output)
  names = [row['measurement'] for row in first]
  assert names == ['products float32', 'copy', 'convolution float32']
  lines = output.read_text().splitlines(keepends=True)
  output.write_text(lines[0] + lines[2] + lines[1][:20])  # killed within a line
  found, _ = measure(['ceilings'], options_for(), output)
  assert found[:2] == [first[0], first[2]]
  assert [row['measurement'] for row in found[2:]] == ['copy']
  assert rows.read(output) == found


def test_what_fails_is_one_line_and_is_tried_again(
  tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  output, name = tmp_path / 'rows.jsonl', f'train {TINY} float32'
  known = {'section': 'train', 'measurement': name, 'name': name, 'value': 24.0}
  rows.append(output, known)
  assert measure(['train'], options_for('echo no network'), output) == ([known], True)
  message = f'{name}, PyTorch eager: failed: --reference gave no images/s: no network'
  assert capsys.readouterr().err.startswith(message)
  found, failed = measure(['train'], options_for('echo 12.5 img/s'), output)
  assert not failed and (found[1]['value'], found[1]['ours_times_that']) == (12.5, 1.92)


def test_mistakes_get_one_line() -> None:
  ended = run_module('experiments.benchmark', '--what=step')
  assert ended.returncode == 1
  assert ended.stderr.startswith("error: --what: there is no 'step'; there are ceilings, train, ")
  assert ended.stderr.count('\n') == 1


def test_flops_by_hand_agree_with_the_compiler() -> None:
  shape = Shape(64, 8, 4)
  program = lower('score', model_of(shape, 'float32'), first_device(), shape.batch)
  by_hand, by_compiler = flops_by_hand(shape), program.cost_analysis()
  # The compiler skips products with padding zeros, and counts more than convolutions.
  assert by_hand['score'] == pytest.approx(by_compiler['flops'], rel=0.1)
  # Training passes G three times and D ten times; scoring passes G once and D twice.
  assert 3 < by_hand['train'] / by_hand['score'] < 5
