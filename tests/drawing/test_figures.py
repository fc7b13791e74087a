from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.drawing.figures import axis_scale, collect_losses, loss_curves, with_outline


def test_the_outline_surrounds_the_mask_without_covering_it() -> None:
  image = np.full((16, 16, 3), 100, np.uint8)
  mask = np.zeros((16, 16), bool)
  mask[5:9, 5:9] = True
  drawn = with_outline(image, mask)
  changed = (drawn != image).any(-1)
  assert (drawn[mask] == 100).all()
  assert changed.sum() == 16 and changed[4, 5:9].all()  # four sides of four pixels
  assert with_outline(image, None) is image


def test_losses_of_any_name_are_drawn(tmp_path: Path) -> None:
  line = lambda epoch, **losses: {'epoch': epoch, 'images_per_second': 9.0, **losses}
  validation = {'step': 10, 'epoch': 1, 'validation_auroc': 0.9}
  lines = [line(1, content=0.5, new=100.0), validation, line(2, content=0.4, new=1.0, later=-1.0)]
  assert collect_losses(lines) == {
    'content': ([1, 2], [0.5, 0.4]),
    'later': ([2], [-1.0]),
    'new': ([1, 2], [100.0, 1.0]),
  }
  loss_curves(tmp_path / 'losses.png', lines)
  loss_curves(tmp_path / 'two_rows.png', [line(1, **{f'loss{i}': 1.0 for i in range(5)})])
  with Image.open(tmp_path / 'losses.png') as one, Image.open(tmp_path / 'two_rows.png') as two:
    assert two.width == pytest.approx(one.width, rel=0.1) and two.height > 1.7 * one.height
  loss_curves(tmp_path / 'none.png', [validation])
  assert not (tmp_path / 'none.png').exists()


def test_an_axis_is_logarithmic_for_positive_values_over_a_wide_range() -> None:
  assert axis_scale([0.1, 1.0, 2.5]) == 'log'
  assert axis_scale([0.1, 1.0, 1.5]) == axis_scale([0.0, 1.0, 100.0]) == 'linear'
