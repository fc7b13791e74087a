from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.data import mvtec_ad
from ocrgan_jax.data.decoding import decode_image
from ocrgan_jax.data.pipeline import evaluation_batches, load_images, training_batches
from ocrgan_jax.errors import InputError


def test_shrinking_averages_areas(tmp_path: Path) -> None:
  image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
  Image.fromarray(image).save(tmp_path / 'a.png')
  expected = image.reshape(32, 2, 32, 3, 3).mean((1, 3))  # the aspect is given up
  np.testing.assert_allclose(decode_image(tmp_path / 'a.png', 32), expected, atol=1)


def test_grey_palette_16_bit_and_transparent_images_become_rgb(tmp_path: Path) -> None:
  grey = np.full((32, 32), 200, np.uint8)
  pictures = {
    'grey': Image.fromarray(grey),
    'palette': Image.fromarray(grey).convert('P'),
    'deep': Image.fromarray(grey.astype(np.uint16) * 257),
    'clear': Image.merge('RGBA', [Image.fromarray(grey)] * 4),
  }
  for name, picture in pictures.items():
    picture.save(tmp_path / f'{name}.png')
    np.testing.assert_array_equal(decode_image(tmp_path / f'{name}.png', 32), 200, err_msg=name)


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
  good = tmp_path / 'good.png'
  Image.effect_noise((64, 64), 50).save(good)
  for name, content in {'empty': b'', 'text': b'hello', 'cut': good.read_bytes()[:800]}.items():
    path = tmp_path / f'{name}.png'
    path.write_bytes(content)
    with pytest.raises(InputError, match=f'cannot read .*{name}.png: .*; repair it'):
      decode_image(path, 32)


def test_in_memory_and_on_disk_give_the_same_images(
  mvtec_folder: Path, capsys: pytest.CaptureFixture
) -> None:
  examples = mvtec_ad.read(str(mvtec_folder), 'tile').train
  cached = load_images(examples, 32, memory_gib=1)
  assert not capsys.readouterr().out
  streamed = load_images(examples, 32, memory_gib=0)
  assert 'over data.memory_gib = 0' in capsys.readouterr().out
  batches = [training_batches(x, 8, seed=0) for x in (cached, streamed)]
  for _ in range(5):
    first, second = (next(b) for b in batches)
    assert first.shape == (8, 32, 32, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_every_epoch_holds_every_image_once_in_a_new_order() -> None:
  batches = training_batches(np.arange(10)[:, None], 4, seed=0)
  seen = np.concatenate([next(batches)[:, 0] for _ in range(5)])
  assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
  assert (seen[:10] != seen[10:]).any()
  again = training_batches(np.arange(10)[:, None], 4, seed=0)
  np.testing.assert_array_equal(seen[:4], next(again)[:, 0])
  other = training_batches(np.arange(10)[:, None], 4, seed=1)
  assert (seen[:4] != next(other)[:, 0]).any()


def test_the_iterator_goes_on_from_its_saved_state() -> None:
  batches = training_batches(np.arange(10)[:, None], 4, seed=0)
  next(batches)
  saved = batches.get_state()
  expected = [next(batches) for _ in range(4)]
  resumed = training_batches(np.arange(10)[:, None], 4, seed=0)
  resumed.set_state(saved)
  np.testing.assert_array_equal([next(resumed) for _ in range(4)], expected)


def test_evaluation_drops_and_repeats_no_image() -> None:
  images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
  batches = list(evaluation_batches(images, 4))
  assert [count for _, count in batches] == [4, 4, 2]
  assert all(batch.shape == (4, 4, 4, 3) for batch, _ in batches)
  np.testing.assert_array_equal(np.concatenate([b[:n] for b, n in batches]), images)
