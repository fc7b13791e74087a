import functools

import jax
import numpy as np
import pytest

from experiments.benchmark.bands import benchmark_bands
from experiments.benchmark.flops import flops_by_hand
from experiments.benchmark.memory import memory_shares, step_memory
from experiments.benchmark.model_groups import benchmark_group
from experiments.benchmark.programs import Shape
from experiments.benchmark.reference import benchmark_reference
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import create_state
from ocrgan_jax.scoring.anomaly_score import Reference
from tests.conftest import tiny_config


def test_flops_by_hand_agree_with_the_compiler() -> None:
  shape = Shape(64, 8, 4)
  model = build_model(tiny_config('', image_size=64, model__width=8))
  state = jax.eval_shape(functools.partial(create_state, model), 0)
  images = jax.ShapeDtypeStruct((4, 64, 64, 3), np.uint8)
  function = lambda *arguments: score_step(*arguments, model=model)['score']
  counted = (
    jax.jit(function).lower(state, Reference(np.ones((64, 64))), images).cost_analysis()['flops']
  )
  # The compiler skips products with padding zeros, and counts more than convolutions.
  assert flops_by_hand(shape)['score'] == pytest.approx(counted, rel=0.1)
  # Training passes G three times and D ten times; scoring passes G once and D twice.
  assert 3 < flops_by_hand(shape)['train'] / flops_by_hand(shape)['score'] < 5


@pytest.mark.slow
def test_memory_of_a_large_batch_follows_from_two_small_ones() -> None:
  shape = Shape(32, 4, 96)
  each, beside = memory_shares(shape, 'float32')
  assert beside + 96 * each == pytest.approx(step_memory(shape, 'float32'), rel=0.05)


def test_shapes_are_read_from_the_command_line() -> None:
  assert Shape.parse('256:4:32') == (256, 4, 32)
  with pytest.raises(InputError, match="'256:4' is no shape"):
    Shape.parse('256:4')


def test_the_reference_is_a_command_that_prints_its_rate(
  capsys: pytest.CaptureFixture[str],
) -> None:
  shape = Shape(256, 4, 32)
  row = benchmark_reference('echo 12.5 img/s', 'train', shape, 'float32', ours=25.0)
  assert row['images_per_second'] == 12.5 and row['ratio'] == 2
  assert 'ours is 2.00 times that' in capsys.readouterr().out
  with pytest.raises(InputError, match='gave no images/s: no network'):
    benchmark_reference('echo no network', 'train', shape, 'float32', ours=25.0)


@pytest.mark.slow
def test_a_group_reports_each_way_to_train_it() -> None:
  rows = benchmark_group(Shape(32, 2, 4), 'float32', 2)
  ways = ['1 model(s) alone', '2 model(s) in turn', '2 model(s) stacked']
  assert [row['name'] for row in rows] == [f'train (32, 2, 4) float32, {way}' for way in ways]
  assert all(0 < row['spread'][0] <= row['images_per_second'] for row in rows)


def test_the_recipe_bands_is_timed() -> None:
  rows = benchmark_bands(Shape(32, 0, 8), 20)
  assert [row['name'].split()[0] for row in rows] == ['bands', 'fit', 'score', 'map']
  assert all(row.get('images_per_second', 1) > 0 for row in rows)
