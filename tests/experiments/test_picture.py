from pathlib import Path

from PIL import Image

from experiments.picture import picture


def test_the_picture_is_wide_and_coloured(trained: Path, tmp_path: Path) -> None:
  picture(str(trained), tmp_path / 'picture.png')
  with Image.open(tmp_path / 'picture.png') as drawn:
    assert drawn.width > 1.5 * drawn.height and len(drawn.convert('RGB').getcolors(2**24)) > 100
