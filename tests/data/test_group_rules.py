import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import NORMAL, NORMAL_TYPE, Example
from ocrgan_jax.data.group_rules import check_rule, read_groups
from ocrgan_jax.data.grouping import take_groups
from ocrgan_jax.data.images import hold_out
from ocrgan_jax.heads.fitting import deal_folds
from ocrgan_jax.runs.training_images import load_training_images
from tests.conftest import smooth_image, tiny_config


def examples(*names: str, folder: Path = Path()) -> list[Example]:
  return [Example(name, NORMAL, NORMAL_TYPE, folder / name) for name in names]


def test_a_regular_expression_groups_by_its_parenthesis() -> None:
  shown = examples('exp1_7.png', 'exp2_7.png', 'exp1_8.png', 'other.png')
  assert read_groups(r'_(\d+)', shown).tolist() == [0, 0, 1, 2]
  assert read_groups(r'exp\d', shown).tolist() == [0, 1, 0, 2]
  assert read_groups('none', shown).tolist() == [0, 1, 2, 3]


def test_a_table_groups_by_path(tmp_path: Path) -> None:
  table = tmp_path / 'groups.csv'
  table.write_text('path,group\na.png,left\nb.png,right\nc.png,left\n')
  assert read_groups(str(table), examples('a.png', 'b.png', 'c.png')).tolist() == [0, 1, 0]


def test_bursts_are_grouped_by_the_time_of_the_photographs(tmp_path: Path) -> None:
  start = datetime.datetime(2024, 5, 1, 12)
  for name, seconds in (('a.jpg', 0), ('b.jpg', 30), ('c.jpg', 1), ('d.jpg', 3)):
    image, exif = Image.new('RGB', (8, 8)), Image.Exif()
    taken = (start + datetime.timedelta(seconds=seconds)).strftime('%Y:%m:%d %H:%M:%S')
    exif.get_ifd(0x8769)[0x9003] = taken
    image.save(tmp_path / name, exif=exif)
  shown = examples('a.jpg', 'b.jpg', 'c.jpg', 'd.jpg', folder=tmp_path)
  assert read_groups('exif:2', shown).tolist() == [0, 1, 0, 0]
  assert read_groups('exif:1', shown).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
  'rule, message',
  [
    ('nothing(.)', "data.groups = 'nothing(.)' matches no image; the first is 'a1.png'"),
    ('a', 'puts all 2 images into one group'),
    ('{folder}/unknown.csv', 'names 1 image(s) that do not exist'),
    ('{folder}/short.csv', 'lacks 1 image(s)'),
    ('{folder}/wide.csv', 'each line must be path,group'),
    ('{folder}/gone.csv', 'No such file'),
    ('exif:2', 'a1.png has no date in its EXIF data'),
  ],
)
def test_a_rule_that_does_not_fit_gets_one_line(rule: str, message: str, tmp_path: Path) -> None:
  (tmp_path / 'unknown.csv').write_text('a1.png,1\na2.png,2\nb.png,3\n')
  (tmp_path / 'short.csv').write_text('a1.png,1\n')
  (tmp_path / 'wide.csv').write_text('a1.png,1,2\n')
  Image.new('RGB', (8, 8)).save(tmp_path / 'a1.png')
  with pytest.raises(InputError) as error:
    read_groups(rule.format(folder=tmp_path), examples('a1.png', 'a2.png', folder=tmp_path))
  assert message in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('rule', ['(', '', 'exif:', 'exif:-1'])
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
  assert check_rule(rule)


def test_a_group_never_lies_on_both_sides() -> None:
  groups = np.random.default_rng(0).integers(0, 12, 60)
  for seed in range(20):
    train, held = hold_out(groups, 0.2, seed)
    assert not {*groups[train]} & {*groups[held]} and sorted([*train, *held]) == [*range(60)]
    np.testing.assert_array_equal(hold_out(groups, 0.2, seed)[1], held)
    assert 2 <= len(held) <= 25
  fold = deal_folds(groups)
  assert {*fold} == {*range(12)}  # few groups are left out one by one
  for group in range(12):
    assert len({*fold[groups == group]}) == 1


def test_few_groups_are_handled_and_told(capsys: pytest.CaptureFixture[str]) -> None:
  train, held = hold_out(np.array([0, 0, 0, 1]), 0.1, 0)
  assert len(train) in (1, 3) and len(held) in (1, 3)
  assert len(hold_out(np.arange(2), 0.9, 0)[0]) == 1
  with pytest.raises(InputError, match='at least 2 are needed'):
    hold_out(np.arange(1), 0.1, 0)
  train, held = hold_out(np.zeros(10, int), 0.1, 0)
  assert (len(train), len(held)) == (9, 1)
  assert 'all 10 training images show one part' in capsys.readouterr().err
  assert {*deal_folds(np.array([0, 0, 1, 1, 1]))} == {0, 1}


def test_drawing_single_images_is_as_it_was_before_there_were_groups() -> None:
  order = np.random.default_rng(3).permutation(50)
  np.testing.assert_array_equal(hold_out(np.arange(50), 0.1, 3)[1], np.sort(order[:5]))
  np.testing.assert_array_equal(take_groups(np.arange(50), 40, 3).nonzero()[0], np.sort(order[:40]))


def test_a_run_holds_out_whole_groups_and_splits_by_them(tmp_path: Path) -> None:
  rng = np.random.default_rng(0)
  folder = tmp_path / 'data/tile/train/good'
  folder.mkdir(parents=True)
  for part in range(8):
    for light in range(3):
      Image.fromarray(smooth_image(rng, 40)).save(folder / f'exp{light}_{part}.png')
  test = tmp_path / 'data/tile/test/good'
  test.mkdir(parents=True)
  Image.fromarray(smooth_image(rng, 40)).save(test / 'exp1_3.png')
  config = tiny_config(tmp_path / 'data', data__groups=r'exp\d_(\d+)', data__validation_share=0.25)
  data = load_training_images(config, tmp_path / 'run')
  assert len(data.normal.held_out) == 6 and data.normal.num_held_out_groups == 2
  assert len(np.unique(data.normal.groups)) == 6 and len(data.names) == 18
  dataset = prepare_dataset(config.data_dir, config.data)
  assert dataset.test.groups[0] in dataset.train.groups
