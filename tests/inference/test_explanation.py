import numpy as np
import pytest

from ocrgan_jax.heads.maps import DESCRIPTIONS
from ocrgan_jax.inference.explanation import place_of, reason_of


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


def test_the_loudest_head_of_any_tile_is_the_reason() -> None:
  said = np.array([[1.0, 2.0], [3.0, 0.5]])
  assert reason_of(('dark', 'whole'), said) == DESCRIPTIONS['dark']
  assert reason_of((), np.zeros((1, 0))) == ''
