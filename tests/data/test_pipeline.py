from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.configs import mvtec
from ocrgan_jax.data.batches import TrainingBatches, evaluation_batches
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.decoding import resize
from ocrgan_jax.data.framing import Framing
from ocrgan_jax.data.images import load_images

NUMBERS = np.arange(10)[:, None]


@pytest.fixture
def train_split(mvtec_folder: Path) -> Split:
  return prepare_dataset(str(mvtec_folder), mvtec.get_config('tile').data).train


def take(batches: TrainingBatches, count: int) -> np.ndarray:
  return np.stack([next(batches) for _ in range(count)])


def test_shrinking_averages_areas() -> None:
  image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
  expected = image.reshape(32, 2, 32, 3, 3).mean((1, 3))  # the aspect is given up
  np.testing.assert_allclose(resize(Image.fromarray(image), 32), expected, atol=1)


def test_order_and_pixels_do_not_depend_on_how_images_are_loaded(
  train_split: Split, capsys: pytest.CaptureFixture
) -> None:
  cached = load_images(train_split, Framing(32), memory_gib=1)
  assert 'streamed' not in capsys.readouterr().err
  streamed = load_images(train_split, Framing(32), memory_gib=0)
  assert 'over data.memory_gib = 0: they are streamed' in capsys.readouterr().err
  expected = take(TrainingBatches(cached, 8, 0), 6)  # two epochs and more
  assert expected.shape == (6, 8, 32, 32, 3) and expected.dtype == np.uint8
  for workers in (0, 1, 4):
    batches = TrainingBatches(streamed, 8, 0, workers=workers)
    np.testing.assert_array_equal(take(batches, 3), expected[:3])
    # A resume in the middle of an epoch, in whatever way the run was saved.
    saved = batches.get_state()
    resumed = TrainingBatches(streamed, 8, 0, workers=4 - workers)
    resumed.set_state(saved)
    np.testing.assert_array_equal(take(resumed, 3), expected[3:])


def test_every_epoch_holds_every_image_once_in_a_new_order() -> None:
  seen = take(TrainingBatches(NUMBERS, 4, seed=0), 5).ravel()
  assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
  assert (seen[:10] != seen[10:]).any()
  np.testing.assert_array_equal(take(TrainingBatches(NUMBERS, 4, seed=0), 5).ravel(), seen)
  assert (take(TrainingBatches(NUMBERS, 4, seed=1), 5).ravel() != seen).any()


def test_the_iterator_resumes_from_its_saved_state() -> None:
  batches = TrainingBatches(NUMBERS, 4, seed=0)
  take(batches, 4)
  saved, expected = batches.get_state(), take(batches, 4)
  resumed = TrainingBatches(NUMBERS, 4, seed=0)
  resumed.set_state(saved)
  np.testing.assert_array_equal(take(resumed, 4), expected)


def test_processes_share_each_batch() -> None:
  whole = take(TrainingBatches(NUMBERS, 4, seed=0), 5)
  parts = [
    take(TrainingBatches(NUMBERS, 4, seed=0, process_index=i, process_count=2), 5) for i in (0, 1)
  ]
  np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_evaluation_batches_contain_every_image_once() -> None:
  images = np.random.default_rng(0).integers(1, 256, (10, 4, 4, 3), dtype=np.uint8)
  batches = list(evaluation_batches(images, 4))
  assert [count for _, count in batches] == [4, 4, 2]
  assert all(batch.shape == (4, 4, 4, 3) for batch, _ in batches)
  np.testing.assert_array_equal(np.concatenate([b[:n] for b, n in batches]), images)
  assert not batches[-1][0][2:].any()  # padding is black
  parts = [list(evaluation_batches(images, 4, process_index=i, process_count=2)) for i in (0, 1)]
  for (batch, count), first, second in zip(batches, *parts, strict=True):
    np.testing.assert_array_equal(np.concatenate([first[0], second[0]]), batch)
    assert first[1] == second[1] == count
