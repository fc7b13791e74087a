import numpy as np
import pytest

from ocrgan_jax.heads.maps import DESCRIPTIONS
from ocrgan_jax.inference.explanation import how_unusual, place_of, reason_of


@pytest.mark.parametrize(
  ('rows', 'columns', 'expected'),
  [
    ((2, 3), (80, 82), 'upper right, under 0.1% of the area'),
    ((45, 55), (0, 10), 'left, 1.0% of the area'),
    ((95, 96), (50, 51), 'bottom, under 0.1% of the area'),
    ((0, 100), (0, 80), '80% of the area'),
    ((0, 0), (0, 0), 'upper left'),
  ],
)
def test_a_place_is_named(rows: tuple[int, int], columns: tuple[int, int], expected: str) -> None:
  whole = np.zeros((100, 100))
  whole[slice(*rows), slice(*columns)] = 2
  assert place_of(whole, 1.0) == expected


def test_the_most_surprised_head_of_any_tile_is_the_reason() -> None:
  surprises = np.array([[1.0, 2.0], [3.0, 0.5]])
  assert reason_of(('dark', 'whole'), surprises) == DESCRIPTIONS['dark']
  assert reason_of((), np.zeros((1, 0))) == ''


@pytest.mark.parametrize(
  ('score', 'expected'),
  [
    (9.0, 'more unusual than all 20 training photographs'),
    (0.8, 'more unusual than all but 1 in 4 training photographs'),
    (0.1, 'no more unusual than most of the 20 training photographs'),
  ],
)
def test_a_score_is_placed_among_those_of_sound_photographs(score: float, expected: str) -> None:
  known = np.linspace(0.05, 1, 20)
  assert how_unusual(score, known + 1e-6, 'training photographs') == expected
  assert how_unusual(score, known[:0], 'training photographs') == ''
