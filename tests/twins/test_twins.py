"""The same part is found however it was photographed; two parts of one product are none."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.data.decoding import thumbnail
from ocrgan_jax.twins.pairs import Pairs, connect, find_nearest, find_pairs
from ocrgan_jax.twins.squares import FINE
from ocrgan_jax.twins.template import describe, fit_template
from tests.conftest import DATA


def photographs(folder: str, part: slice) -> list[Image.Image]:
  files = sorted((DATA / folder).glob('*'))[part]
  if not files:
    pytest.skip(f'no real images at {DATA}; set OCRGAN_DATA_DIR')
  return [Image.open(file).convert('RGB') for file in files]


def thumbnails(images: list[Image.Image]) -> np.ndarray:
  return np.stack([thumbnail(image, FINE) for image in images])


def compared(images: np.ndarray) -> Pairs:
  return find_pairs(describe(images, fit_template(images)))


def changed(change: Callable[[np.ndarray], np.ndarray], image: Image.Image) -> Image.Image:
  return Image.fromarray(np.ascontiguousarray(change(np.asarray(image))))


def shifted(pixels: np.ndarray) -> np.ndarray:
  """By about 2 % of the sides; what comes in repeats the border."""
  height, width = pixels.shape[0] // 50, pixels.shape[1] // 50
  padded = np.pad(pixels, ((height, 0), (width, 0), (0, 0)), mode='edge')
  return padded[: len(pixels), : pixels.shape[1]]


CHANGES = {
  'shifted': shifted,
  'brightened': lambda pixels: np.clip(pixels * 1.25 + 15.0, 0, 255).astype(np.uint8),
  'mirrored': lambda pixels: pixels[:, ::-1],
  'turned by 90': np.rot90,
  'turned, mirrored, shifted': lambda pixels: shifted(np.rot90(pixels[::-1], 3)),
}


@pytest.fixture(scope='module')
def commutators() -> list[Image.Image]:
  return photographs('kolektor_sdd_full/train/good', slice(30))


@pytest.fixture(scope='module')
def found(commutators: list[Image.Image]) -> list[list[int]]:
  """The twins among real photographs, one of which is also there changed in every way."""
  copies = [changed(change, commutators[7]) for change in CHANGES.values()]
  return compared(thumbnails(commutators + copies)).twins.tolist()


@pytest.mark.parametrize('number, change', list(enumerate(CHANGES)))
def test_a_changed_copy_is_a_twin(found: list[list[int]], number: int, change: str) -> None:
  assert [7, 30 + number] in found


def test_nothing_else_is_a_twin(found: list[list[int]]) -> None:
  assert all(first == 7 or first >= 30 for first, _ in found)


def test_two_parts_of_one_aligned_product_are_none() -> None:
  bottles = photographs('mvtec_ad/bottle/train/good', slice(40, 90))
  assert compared(thumbnails(bottles)).twins.tolist() == [[29, 30]]  # 069 and 070 are one bottle


@pytest.fixture(scope='module')
def few(commutators: list[Image.Image]) -> np.ndarray:
  images = thumbnails(commutators[:16])
  return np.concatenate([images, images[:4, ::-1], images[3:6]])


def test_blocks_do_not_change_the_result(few: np.ndarray) -> None:
  template = fit_template(few)
  whole = find_pairs(describe(few, template))
  parts = find_pairs(describe(few, template, block=5), block=48)
  np.testing.assert_array_equal(whole.numbers, parts.numbers)
  np.testing.assert_array_equal(whole.twins, parts.twins)
  # Of images that have nothing in common, rounding decides which blocks seem to agree.
  alike = whole.similarity > 0.3
  np.testing.assert_allclose(whole.similarity[alike], parts.similarity[alike], atol=1e-3)
  np.testing.assert_allclose(whole.similarity, parts.similarity, atol=0.05)


def test_the_nearest_is_the_twin_and_never_the_image_itself(few: np.ndarray) -> None:
  description = describe(few, fit_template(few))
  near = find_nearest(description, np.arange(16, 20), np.arange(16))
  assert near.number.tolist() == [0, 1, 2, 3] and (near.similarity > 0.9).all()
  everyone = np.arange(len(few))
  assert (find_nearest(description, everyone, everyone).number != everyone).all()
  alone = find_nearest(description, np.array([16]), np.array([0]))
  assert alone.number.tolist() == [0] and alone.similarity[0] > 0.9


def test_groups_are_connected_and_numbered_in_order() -> None:
  assert connect(7, np.array([[1, 4], [4, 6], [2, 3]])).tolist() == [0, 1, 2, 2, 1, 3, 1]
  assert connect(3, np.zeros((0, 2), int)).tolist() == [0, 1, 2]


@pytest.mark.parametrize('count', [1, 2, 3])
def test_few_images(count: int) -> None:
  images = np.random.default_rng(0).integers(0, 256, (count, FINE, FINE), np.uint8)
  assert not len(compared(images).twins)
  nobody = find_nearest(describe(images, fit_template(images)), np.arange(count), np.arange(0))
  assert nobody.number.tolist() == [-1] * count


def test_flat_images_are_no_twins() -> None:
  assert not len(compared(np.full((4, FINE, FINE), 255, np.uint8)).twins)


@pytest.mark.parametrize(
  'images', [np.zeros((2, FINE, FINE), np.float32), np.zeros((2, 64, 64), np.uint8)]
)
def test_images_of_another_type_are_told(images: np.ndarray) -> None:
  with pytest.raises(ValueError, match='uint8'):
    fit_template(images)
  with pytest.raises(ValueError, match='no image'):
    fit_template(np.zeros((0, FINE, FINE), np.uint8))
