from pathlib import Path

from PIL import Image

from experiments.picture import picture


def test_the_picture_has_a_column_for_each_image_shown(trained: Path, tmp_path: Path) -> None:
  picture(str(trained), tmp_path / 'picture.png')
  with Image.open(tmp_path / 'picture.png') as drawn:
    assert drawn.width > 1.5 * drawn.height and len(drawn.convert('RGB').getcolors(2**24)) > 100
