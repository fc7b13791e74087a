"""Problems in real folders of images; each message names the file and what to do."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.__main__ import contact_sheet, describe
from ocrgan_jax.data.decoding import decode_mask, open_image
from ocrgan_jax.data.inspection import CONVERSIONS
from tests.conftest import decode_image, run_module, smooth_image, write_images
from tests.data.files import prepare, refuses


@pytest.fixture
def tile(tmp_path: Path) -> Path:
  """A category with a normal and an anomalous test image and its mask."""
  rng = np.random.default_rng(5)
  root = tmp_path / 'tile'
  write_images(root / 'train/good', [smooth_image(rng, 16) for _ in range(4)])
  write_images(root / 'test/good', [smooth_image(rng, 16)])
  write_images(root / 'test/crack', [smooth_image(rng, 16)])
  (root / 'ground_truth/crack').mkdir(parents=True)
  Image.new('L', (16, 16)).save(root / 'ground_truth/crack/000_mask.png')
  return root


def cut_short() -> bytes:
  file = io.BytesIO()
  Image.effect_noise((64, 64), 50).save(file, 'PNG')
  return file.getvalue()[:800]


@pytest.mark.parametrize(
  ('content', 'reason'),
  [(b'', 'the file is empty'), (b'hello', 'not an image'), (cut_short(), 'truncated')],
)
def test_damaged_files_stop_the_run_unless_skipping_is_allowed(
  content: bytes, reason: str, tile: Path
) -> None:
  (tile / 'train/good/bad.png').write_bytes(content)
  with pytest.raises(InputError, match='1 damaged file: train/good/bad.png') as error:
    prepare('mvtec:tile', tile.parent)
  assert reason in str(error.value) and '--config.data.skip_damaged=True' in str(error.value)
  dataset = prepare('mvtec:tile', tile.parent, skip_damaged=True)
  assert len(dataset.train.names) == 4
  assert dataset.report['skipped'][0][0] == 'train/good/bad.png'
  assert any('1 damaged file left out: train/good/bad.png' in w for w in dataset.report['warnings'])
  assert 'left out train/good/bad.png' in describe(dataset.report)


def test_many_damaged_files_are_counted_and_the_first_named(tile: Path) -> None:
  for i in range(5):
    (tile / f'train/good/bad{i}.png').write_bytes(b'')
  refuses(r'5 damaged files: train/good/bad0.png .* and 2 more; ', 'mvtec:tile', tile.parent)


def test_large_images_are_refused_before_they_are_decoded(tile: Path) -> None:
  Image.new('1', (2000, 1000)).save(tile / 'test/good/huge.png')
  refuses(
    r'huge.png \(2000x1000 pixels are over data.max_megapixels',
    'mvtec:tile',
    tile.parent,
    max_megapixels=1.0,
  )
  assert '2000×1000' in prepare('mvtec:tile', tile.parent).report['sizes']


def test_masks_must_have_their_images_size(tile: Path) -> None:
  Image.new('L', (8, 8)).save(tile / 'ground_truth/crack/000_mask.png')
  refuses(r'mask of test/crack/000.png \(it is 8×8, its image 16×16', 'mvtec:tile', tile.parent)
  dataset = prepare('mvtec:tile', tile.parent, skip_damaged=True)
  assert dataset.report['masks'] == 0 and dataset.test.records[0]['mask'] == b''


def test_masks_that_do_not_mark_a_defect_are_named(tile: Path) -> None:
  shape = np.zeros((16, 16), np.uint8)
  shape[2:4] = 255
  black = Image.new('L', (16, 16))
  inverted = Image.fromarray(255 - shape)
  in_alpha = [
    Image.merge('LA', (black, Image.fromarray(shape))),
    Image.merge('RGBA', [inverted, inverted, inverted, Image.new('L', (16, 16), 255)]),
    Image.merge('RGBA', [black, black, black, Image.fromarray(shape)]),
  ]
  for i, mask in enumerate([inverted, *in_alpha], 1):
    Image.fromarray(smooth_image(np.random.default_rng(i), 16)).save(tile / f'test/crack/00{i}.png')
    mask.save(tile / f'ground_truth/crack/00{i}_mask.png')
  dataset = prepare('mvtec:tile', tile.parent)
  assert dataset.report['warnings'] == [
    '2 masks with most pixels set, perhaps inverted (the defect must be white, the rest black): '
    'crack/001_mask.png (88%), crack/003_mask.png (88%)',
    '1 mask without a set pixel, ignored for pixel metrics: crack/000_mask.png (all 0)',
    '2 masks with a shape in the alpha channel alone: its opaque pixels count as defective: '
    'crack/002_mask.png (of one colour), crack/004_mask.png (of one colour)',
  ]
  for i in (3, 5):  # 002 and 004, after the image in test/good
    masked = decode_mask(dataset.test.records[i - 1]['mask'], 16)
    np.testing.assert_array_equal(masked, shape > 0)


def test_anomalous_images_without_a_mask_are_named(tile: Path) -> None:
  Image.new('RGB', (16, 16)).save(tile / 'test/crack/more.png')
  warnings = prepare('mvtec:tile', tile.parent).report['warnings']
  assert '1 anomalous image without a mask: test/crack/more.png' in warnings


def test_the_same_image_in_training_and_test_is_named(tile: Path) -> None:
  # By content: another format holds the same pixels.
  with Image.open(tile / 'train/good/002.png') as image:
    image.save(tile / 'test/good/copy.bmp')
  warnings = prepare('mvtec:tile', tile.parent).report['warnings']
  assert '1 test image also in training: test/good/copy.bmp (is train/good/002.png)' in warnings


def test_a_test_set_of_one_class_gives_a_warning(tile: Path) -> None:
  for name in ('test/good/000.png', 'test/crack/000.png'):
    content = (tile / name).read_bytes()
    (tile / name).unlink()
    missing = 'normal' if 'good' in name else 'anomalous'
    assert any(
      missing in w and 'AUROC will not' in w
      for w in prepare('mvtec:tile', tile.parent).report['warnings']
    )
    (tile / name).write_bytes(content)


def test_a_dataset_without_normal_images_is_refused(tile: Path) -> None:
  for path in (tile / 'train/good').iterdir():
    path.write_bytes(b'')
  refuses('no usable normal training image', 'mvtec:tile', tile.parent, skip_damaged=True)


def picture(mode: str) -> Image.Image:
  grey = Image.new('L', (16, 16), 200)
  if mode == 'I;16':
    return Image.fromarray(np.full((16, 16), 200 * 257, np.uint16))
  if mode in ('RGBA', 'LA'):
    grey.putalpha(10)
    return grey.convert(mode)
  return Image.new(mode, (16, 16), (0, 0, 0, 55)) if mode == 'CMYK' else grey.convert(mode)


@pytest.mark.parametrize(
  ('mode', 'suffix'),
  [
    ('L', 'png'),
    ('P', 'png'),
    ('I;16', 'png'),
    ('I;16', 'tif'),
    ('RGBA', 'png'),
    ('LA', 'png'),
    ('CMYK', 'tif'),
  ],
)
def test_every_colour_mode_becomes_rgb_by_its_rule(mode: str, suffix: str, tile: Path) -> None:
  path = tile / f'test/good/odd.{suffix}'
  picture(mode).save(path)
  np.testing.assert_array_equal(decode_image(path.read_bytes(), 32), 200)
  report = prepare('mvtec:tile', tile.parent).report
  assert sorted(report['modes'].values()) == [1, 6]
  assert f'colour {mode} (1): {CONVERSIONS[mode]}' in describe(report)


def test_sixteen_bit_photographs_with_fewer_bits_are_told(
  tile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  for bits in (16, 15, 8):  # as they should be, a dark one, one with small values
    deep = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(deep).save(tile / f'train/good/{bits}.png')
  prepare('mvtec:tile', tile.parent)
  assert 'bits' not in capsys.readouterr().err
  for name in ('12', 'another'):
    Image.fromarray(deep * 16).save(tile / f'train/good/{name}.png')
  prepare('mvtec:tile', tile.parent)
  lines = [line for line in capsys.readouterr().err.splitlines() if 'bits' in line]
  assert len(lines) == 1 and lines[0].startswith(
    'warning: a photograph with 16-bit pixels uses 12 of the bits, so it comes out nearly black'
  )
  assert 'multiplied by 16' in lines[0]


def test_float_pixels_have_no_stated_scale_and_are_refused(tile: Path) -> None:
  Image.fromarray(np.full((16, 16), 0.7, np.float32)).save(tile / 'test/good/odd.tif')
  refuses(r'test/good/odd.tif \(its pixels are floats', 'mvtec:tile', tile.parent)


def test_the_contact_sheet_takes_any_folder_name(tile: Path, tmp_path: Path) -> None:
  (tile / 'test/crack').rename(tile / 'test/a$_$b^ 傷')
  (tile / 'ground_truth/crack').rename(tile / 'ground_truth/a$_$b^ 傷')
  contact_sheet(prepare('mvtec:tile', tile.parent), tmp_path / 'sheet.png')
  with Image.open(tmp_path / 'sheet.png') as image:
    assert image.width > 200


def test_the_contact_sheet_shows_the_images_as_they_are(tmp_path: Path) -> None:
  colour = (240, 200, 220)
  bright = np.full((16, 16, 3), colour, np.uint8)
  write_images(tmp_path / 'tile/train/good', [bright] * 3)
  write_images(tmp_path / 'tile/test/crack', [bright])
  done = run_module(
    'ocrgan_jax.data',
    '--config=configs/mvtec.py:tile',
    f'--config.data_dir={tmp_path}',
    f'--picture={tmp_path}/sheet.png',
  )
  assert done.returncode == 0, done.stderr
  assert 'Clipping' not in done.stderr and 'WARNING' not in done.stderr
  with Image.open(tmp_path / 'sheet.png') as file:
    sheet = np.asarray(file.convert('RGB'))
  assert (sheet == colour).all(-1).mean() > 0.5


def test_images_are_rotated_by_their_exif_orientation() -> None:
  image = Image.new('RGB', (8, 4))
  image.paste((255, 255, 255), (0, 0, 4, 4))  # left half white
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned a quarter clockwise
  file = io.BytesIO()
  image.save(file, 'PNG', exif=exif)
  upright = np.asarray(open_image(file.getvalue()))
  assert upright.shape == (8, 4, 3)
  assert upright[:4].min() == 255 and upright[4:].max() == 0  # top half white


def test_names_with_spaces_and_any_unicode(tmp_path: Path) -> None:
  rng = np.random.default_rng(0)
  names = ['photo 1.png', 'größe.PNG', '写真.png', 'naïve — copy.JPG']
  for name in names:
    Image.fromarray(smooth_image(rng, 16)).save(tmp_path / name)
  dataset = prepare('folder', tmp_path)
  assert sorted(dataset.train.names) == sorted(names)
