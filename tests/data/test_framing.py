import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.decoding import upright_size
from ocrgan_jax.data.framing import Framing, decode_frames, read_region, region_png
from ocrgan_jax.data.region import find_region
from tests.conftest import decode_image

RNG = np.random.default_rng(0)


def encoded(image: np.ndarray, **options: object) -> bytes:
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'PNG', **options)
  return file.getvalue()


def test_stretching_equals_decode_image() -> None:
  content = encoded(RNG.integers(0, 256, (50, 90, 3), dtype=np.uint8))
  frames, size = decode_frames(content, Framing(32))
  assert frames.shape == (1, 32, 32, 3) and size == (90, 50)
  np.testing.assert_array_equal(frames[0], decode_image(content, 32))


def test_padding_keeps_the_aspect_and_does_not_count() -> None:
  image = np.full((32, 64, 3), 200, np.uint8)
  image[10:22, 20:44] = 40  # twice as wide as high
  (frame,), _ = decode_frames(encoded(image), Framing(64, 'pad'))
  counts = frame[..., 3] > 0
  assert counts[16:48].all() and not counts[:16].any() and not counts[48:].any()
  assert (frame[..., :3][~counts] == 200).all()  # of the border's colour
  dark = np.argwhere(frame[..., 0] < 100)
  assert np.ptp(dark, axis=0).tolist() == [11, 23]  # neither stretched nor squeezed


@pytest.mark.parametrize(
  ('width', 'height'), [(500, 1260), (64, 64), (65, 64), (300, 40), (20, 30)]
)
@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.5])
def test_tiles_cover_every_pixel_with_the_requested_overlap(
  width: int, height: int, overlap: float
) -> None:
  boxes = Framing(32, 'tiles', 64, overlap).boxes(width, height)
  seen = np.zeros((height, width), int)
  for left, upper, right, lower in boxes:
    assert right - left == lower - upper == 64
    seen[max(0, upper) : lower, max(0, left) : right] += 1
  assert seen.min() >= 1
  starts = sorted({box[1] for box in boxes})
  assert all(b - a <= 64 * (1 - overlap) + 1 for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize('framing', [Framing(32), Framing(32, 'pad'), Framing(32, 'tiles', 40)])
def test_maps_return_to_their_place_on_the_photograph(framing: Framing) -> None:
  """A photograph with a bright spot, used as its own map, gets the spot back in place."""
  image = np.zeros((60, 130, 3), np.uint8)
  image[38:46, 100:112] = 255
  frames, size = decode_frames(encoded(image), framing)
  whole = framing.on_photograph(frames[..., 0].astype(np.float32), size, (60, 130))
  assert whole.shape == (60, 130) and np.isfinite(whole).all()
  found = np.argwhere(whole > 127)
  np.testing.assert_allclose(found.mean(0), [41.5, 105.5], atol=1.5)
  np.testing.assert_allclose(np.ptp(found, axis=0) + 1, [8, 12], atol=4)


def test_many_tiles_are_told_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
  framing = Framing(4, 'tiles', tile=4)
  for width in (66, 66, 75):
    decode_frames(encoded(RNG.integers(0, 256, (75, width, 3), dtype=np.uint8)), framing)
  few, many = 22 * 25, 25 * 25
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 2  # once for each size
  assert lines[0].startswith(f'a photograph of 66×75 pixels makes {few:,} tiles: scoring it takes')
  assert f'makes {many:,} tiles' in lines[1]
  decode_frames(encoded(np.zeros((30, 30, 3), np.uint8)), framing)
  assert not capsys.readouterr().err


def test_a_region_follows_the_photograph(tmp_path: Path) -> None:
  region = np.zeros((10, 10), bool)
  region[:, :5] = True  # the left half
  (tmp_path / 'region.png').write_bytes(region_png(region))
  read = read_region(str(tmp_path / 'region.png'))
  np.testing.assert_array_equal(read, region)
  image = np.full((40, 80, 3), 90, np.uint8)
  (stretched,), _ = decode_frames(encoded(image), Framing(32, region=read))
  assert (stretched[:, :15, 3] == 255).all() and (stretched[:, 17:, 3] == 0).all()
  (padded,), _ = decode_frames(encoded(image), Framing(32, 'pad', region=read))
  assert (padded[8:24, :15, 3] == 255).all() and (padded[:, 17:, 3] == 0).all()
  assert (padded[:8, :, 3] == 0).all()
  (tmp_path / 'black.png').write_bytes(region_png(~region & region))
  with pytest.raises(InputError, match='black.png is all black'):
    read_region(str(tmp_path / 'black.png'))
  with pytest.raises(InputError, match='cannot read'):
    read_region(str(tmp_path / 'gone.png'))


def test_products_are_found_on_a_plain_background(capsys: pytest.CaptureFixture) -> None:
  rows, columns = np.mgrid[:64, :64]
  images = []
  for _ in range(10):
    image = np.full((64, 64, 3), 230, np.uint8) - RNG.integers(0, 5, (64, 64, 3), dtype=np.uint8)
    y, x = RNG.integers(30, 34, 2)  # lies almost still
    ring = np.hypot(rows - y, columns - x)
    image[(ring < 18) & (ring > 6)] = RNG.integers(0, 120)
    images.append(image)
  region = find_region(np.stack(images))
  assert region is not None and region[32, 32]  # with its hole
  assert region[32, 14:50].all() and not region[:6].any() and not region[:, 58:].any()
  assert 0.2 < region.mean() < 0.6
  noise = RNG.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
  assert find_region(noise) is None
  assert 'finds no plain background' in capsys.readouterr().err


def test_the_reported_size_is_that_of_the_decoded_photograph() -> None:
  exif = Image.Exif()
  exif[274] = 6
  turned = encoded(np.zeros((20, 30, 3), np.uint8), exif=exif)
  assert upright_size(turned) == decode_frames(turned, Framing(32))[1] == (20, 30)


@pytest.mark.parametrize(
  ('size', 'region', 'photograph', 'reason'),
  [
    (64, np.eye(1, 256, 128, dtype=bool).repeat(256, 0), (256, 256), 'data.region leaves 0.0%'),
    (256, np.eye(1, 256, 128, dtype=bool).repeat(256, 0), (256, 256), 'data.region leaves 0.4%'),
    (64, None, (7000, 20), 'padding leaves 0.0%'),
  ],
)
def test_a_photograph_of_which_too_little_counts_is_refused(
  size: int, region: np.ndarray | None, photograph: tuple[int, int], reason: str
) -> None:
  framing = Framing(size, fit='stretch' if region is not None else 'pad', region=region)
  with pytest.raises(ValueError, match=f'^{reason}.* squares of 4×4') as caught:
    framing.frames(Image.new('RGB', photograph))
  assert '\n' not in str(caught.value)
