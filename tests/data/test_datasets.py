from pathlib import Path

import numpy as np
import pytest

from configs import elpv as elpv_config
from ocrgan_jax.data import elpv, mvtec_ad, read_dataset
from ocrgan_jax.data.examples import hold_out
from ocrgan_jax.errors import InputError
from tests.conftest import DATA, smooth_image, write_images


def test_mvtec_layout(mvtec_folder: Path) -> None:
  dataset = mvtec_ad.read(str(mvtec_folder), 'tile')
  assert len(dataset.train) == 20 and all(e.label == 0 for e in dataset.train)
  assert [(e.defect_type, e.label) for e in dataset.test] == [('good', 0)] * 5 + [
    ('scratch', 1)
  ] * 6
  assert dataset.test[5].name == 'test/scratch/000.png'


def test_mvtec_mistakes(mvtec_folder: Path, tmp_path: Path) -> None:
  with pytest.raises(InputError, match='no data folder given'):
    mvtec_ad.read('', 'tile')
  with pytest.raises(InputError, match='categories there: tile'):
    mvtec_ad.read(str(mvtec_folder), '')
  (tmp_path / 'tile/train/good').mkdir(parents=True)
  with pytest.raises(InputError, match='no images in .*train/good; expected'):
    mvtec_ad.read(str(tmp_path), 'tile')
  write_images(tmp_path / 'box/train/good', [smooth_image(np.random.default_rng(0), 8)])
  with pytest.raises(InputError, match='no images in the folders of .*test; expected'):
    mvtec_ad.read(str(tmp_path), 'box')


@pytest.fixture
def elpv_folder(tmp_path: Path) -> Path:
  rows = ['0.0 mono'] * 10 + ['1.0 mono'] * 3 + ['0.3333333333333333 mono'] * 2 + ['0.0 poly'] * 4
  lines = [f'images/cell{i:04}.png  {row}' for i, row in enumerate(rows)]
  (tmp_path / 'labels.csv').write_text('\n'.join(lines) + '\n')
  return tmp_path


def test_elpv_splits_sound_cells_and_leaves_the_unsure_out(elpv_folder: Path) -> None:
  read = lambda kind, seed: elpv.read(str(elpv_folder), kind, train_share=0.8, split_seed=seed)
  dataset = read('mono', 0)
  assert len(dataset.train) == 8
  assert sorted(e.label for e in dataset.test) == [0, 0, 1, 1, 1]
  assert not {e.name for e in dataset.train} & {e.name for e in dataset.test}
  assert read('mono', 0) == dataset != read('mono', 1)
  assert len(read('both', 0).train) == round(0.8 * 14)
  with pytest.raises(InputError, match='mono, poly, both'):
    read('amorphous', 0)


def test_elpv_of_the_package() -> None:
  pytest.importorskip('elpv_dataset', reason='needs pip install elpv-dataset')
  config = elpv_config.get_config('mono')
  dataset = read_dataset(config.data_dir, config.data)
  # 588 sound and 313 defective cells, as the dataset's own table has them.
  assert len(dataset.train) + sum(e.label == 0 for e in dataset.test) == 588
  assert sum(e.label == 1 for e in dataset.test) == 313
  assert dataset.test[0].path.is_file()


def test_bottle_of_the_real_dataset() -> None:
  if not (DATA / 'mvtec_ad/bottle').is_dir():
    pytest.skip(f'no real images at {DATA}; set OCRGAN_DATA_DIR')
  dataset = mvtec_ad.read(str(DATA / 'mvtec_ad'), 'bottle')
  labels = [e.label for e in dataset.test]
  assert (len(dataset.train), labels.count(0), labels.count(1)) == (209, 20, 63)


def test_held_out_images_are_a_share_and_no_training_images(mvtec_folder: Path) -> None:
  examples = mvtec_ad.read(str(mvtec_folder), 'tile').train
  train, held = hold_out(examples, 0.1, 0)
  assert (len(train), len(held)) == (18, 2)
  assert sorted(train + held) == sorted(examples)
  assert hold_out(examples, 0.1, 0) == (train, held) != hold_out(examples, 0.1, 1)
  assert len(hold_out(examples[:2], 0.9, 0)[0]) == 1
  with pytest.raises(InputError, match='at least 2 are needed'):
    hold_out(examples[:1], 0.1, 0)
