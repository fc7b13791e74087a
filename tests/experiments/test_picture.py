from pathlib import Path

import numpy as np
from PIL import Image

from experiments.picture import QUANTILES, choose, picture


def test_the_picture_shows_defects_of_falling_scores_and_a_sound_image(
  trained: Path, tmp_path: Path
) -> None:
  labels = np.repeat([0, 1], [11, 101])
  scores = np.concatenate([np.arange(11), np.arange(101)[::-1]])
  chosen = choose(labels, scores)
  assert [*scores[chosen]] == [*(100 * q for q in QUANTILES), 5]
  assert [*labels[chosen]] == [1, 1, 1, 1, 1, 0]
  picture(str(trained), tmp_path / 'picture.png')
  with Image.open(tmp_path / 'picture.png') as drawn:
    # Six columns, and three rows, because the paper's networks reconstruct.
    assert 1.5 < drawn.width / drawn.height < 3
