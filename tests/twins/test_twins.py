"""The same part is found however it was photographed; two parts of one product are none."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.data.decoding import thumbnail
from ocrgan_jax.twins.pairs import Pairs, connect, find_nearest, find_pairs
from ocrgan_jax.twins.squares import FINE
from ocrgan_jax.twins.template import describe, fit_template
from tests.twins.cells import solar_cells

PARTS, COPIED = 30, 7


def compared(images: list[np.ndarray]) -> Pairs:
  small = np.stack([thumbnail(Image.fromarray(np.ascontiguousarray(x)), FINE) for x in images])
  return find_pairs(describe(small, fit_template(small)))


def shifted(pixels: np.ndarray) -> np.ndarray:
  """By 2 % of the sides; what comes in repeats the border."""
  return np.pad(pixels, ((6, 0), (6, 0), (0, 0)), mode='edge')[:-6, :-6]


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'shifted': shifted,
  'brightened': lambda pixels: np.clip(pixels * 1.25 + 15.0, 0, 255).astype(np.uint8),
  'mirrored': lambda pixels: pixels[:, ::-1],
  'turned by 90': np.rot90,
  'turned, mirrored, shifted': lambda pixels: shifted(np.rot90(pixels[::-1], 3)),
}


@pytest.fixture(scope='module')
def parts() -> list[np.ndarray]:
  """Surfaces under one uneven light, each with a texture of its own: uint8 [300, 300, 3]."""
  rng = np.random.default_rng(0)

  def field(size: int) -> np.ndarray:
    small = Image.fromarray(rng.normal(0, 1, (size, size)).astype(np.float32))
    return np.asarray(small.resize((300, 300), Image.Resampling.BICUBIC))

  light = 128 + 40 * field(5)
  grey = [np.clip(light + 25 * field(30), 0, 255).astype(np.uint8) for _ in range(PARTS)]
  return [image[..., None].repeat(3, 2) for image in grey]


@pytest.fixture(scope='module')
def twins(parts: list[np.ndarray]) -> list[list[int]]:
  return compared([*parts, *(change(parts[COPIED]) for change in CHANGES.values())]).twins.tolist()


@pytest.mark.parametrize('number, change', list(enumerate(CHANGES)))
def test_a_changed_copy_is_a_twin(twins: list[list[int]], number: int, change: str) -> None:
  assert [COPIED, PARTS + number] in twins


def test_nothing_else_is_a_twin(twins: list[list[int]]) -> None:
  assert all(first == COPIED or first >= PARTS for first, _ in twins)


def test_of_solar_cells_only_a_copy_is_a_twin() -> None:
  cells = [np.asarray(cell) for cell in solar_cells(40)]
  darker = (cells[COPIED][:, ::-1] * 0.8).astype(np.uint8)
  assert compared([*cells, darker]).twins.tolist() == [[COPIED, 40]]


def test_an_image_is_described_the_same_in_any_block(parts: list[np.ndarray]) -> None:
  images = np.stack([thumbnail(Image.fromarray(part), FINE) for part in parts])
  template = fit_template(images)
  for whole, few in zip(describe(images, template), describe(images[:3], template), strict=True):
    np.testing.assert_allclose(whole[:3], few, atol=1e-2)


def test_the_nearest_is_the_twin_and_never_the_image_itself(parts: list[np.ndarray]) -> None:
  images = np.stack([thumbnail(Image.fromarray(part), FINE) for part in parts])
  images = np.concatenate([images, images[:4, ::-1]])
  description = describe(images, fit_template(images))
  known, copies = np.arange(PARTS), np.arange(PARTS, PARTS + 4)
  near = find_nearest(description, copies, known)
  assert near.number.tolist() == [0, 1, 2, 3] and (near.similarity > 0.9).all()
  assert (find_nearest(description, known, known).number != known).all()


def test_groups_are_connected_and_numbered_in_order() -> None:
  assert connect(7, np.array([[1, 4], [4, 6], [2, 3]])).tolist() == [0, 1, 2, 2, 1, 3, 1]
  assert connect(3, np.zeros((0, 2), int)).tolist() == [0, 1, 2]


@pytest.mark.parametrize('count', [1, 2, 3])
def test_few_images(count: int) -> None:
  images = np.random.default_rng(0).integers(0, 256, (count, FINE, FINE), np.uint8)
  description = describe(images, fit_template(images))
  assert not len(find_pairs(description).twins)
  nobody = find_nearest(description, np.arange(count), np.arange(0))
  assert nobody.number.tolist() == [-1] * count


def test_flat_images_are_no_twins() -> None:
  assert not len(compared([np.full((FINE, FINE, 3), 255, np.uint8)] * 4).twins)


@pytest.mark.parametrize(
  'images', [np.zeros((2, FINE, FINE), np.float32), np.zeros((2, 64, 64), np.uint8)]
)
def test_images_of_another_type_are_refused(images: np.ndarray) -> None:
  with pytest.raises(ValueError, match='uint8'):
    fit_template(images)
