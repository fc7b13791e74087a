"""Which files a folder means, in all commands."""

import os
from pathlib import Path

import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import mark_output
from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.data.examples import look_into
from ocrgan_jax.inference.predict_files import find_images
from tests.data.files import mask, prepare, save


def plain(data_dir: Path, **fields: object) -> Prepared:
  return prepare('folder', data_dir, **fields)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
  """Five photographs: direct, nested, and behind a link; loops, hidden files and other ones."""
  root, other = tmp_path / 'photos', tmp_path / 'other'
  for name in ('0.png', 'a/1.png', 'a/deep/2.PNG', 'b/3.png'):
    save(root / name)
  save(other / '4.png')
  (root / 'link').symlink_to(other)
  (root / 'again').symlink_to(root / 'b')  # the folder itself is there, too
  (root / 'a/loop').symlink_to(root)
  (other / 'up').symlink_to(tmp_path)
  for hidden in ('.trash/old.png', '._0.png', 'a/._1.png'):
    save(root / hidden)
  (root / 'a/notes.txt').write_text('hello')
  return root


NAMES = ['0.png', 'a/1.png', 'a/deep/2.PNG', 'b/3.png', 'link/4.png']


def test_training_testing_and_scoring_mean_the_same_files(
  photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  files = [photos / name for name in NAMES]
  assert find_images([str(photos)]) == files
  told = capsys.readouterr().err
  left = f'1 file in {photos} left out, not an image by extension: a/notes.txt'
  assert left in told and f'1 link in {photos} left out' in told and 'link/up' in told
  trained = plain(photos)
  assert trained.train.names == NAMES
  warnings = trained.report['warnings']
  assert left in warnings
  assert (
    f'3 subfolders of {photos} hold 4 of 5 photographs, which count as sound, too '
    '(move defective ones out): a, b, link' in warnings
  )
  tree = tmp_path / 'tree'
  for place in ('train/good', 'test/good', 'test/scratch'):
    (tree / place).parent.mkdir(parents=True, exist_ok=True)
    (tree / place).symlink_to(photos)
  listed = plain(tree)
  assert listed.train.names == [f'train/good/{name}' for name in NAMES]
  assert listed.test.names == [f'test/{kind}/{n}' for kind in ('good', 'scratch') for n in NAMES]
  assert any(f'in {tree}/test/scratch left out' in warning for warning in listed.report['warnings'])
  tested = plain(photos, test_dir=str(tree / 'test'))
  assert tested.test.names == [f'{kind}/{n}' for kind in ('good', 'scratch') for n in NAMES]
  assert tested.test.labels.tolist() == [0] * 5 + [1] * 5


def test_masks_of_nested_images_are_nested(tmp_path: Path) -> None:
  for name in ('train/good/0.png', 'train/good/1.png', 'test/scratch/0.png', 'train/bad/0.png'):
    save(tmp_path / name)
  save(tmp_path / 'test/scratch/deep/0.png')
  save(tmp_path / 'test/.trash/0.png')
  masks = [
    save(tmp_path / f'ground_truth/scratch/{x}0_mask.png', mask(255 - len(x)))
    for x in ('', 'deep/')
  ]
  dataset = plain(tmp_path)
  assert dataset.test.names == ['test/scratch/0.png', 'test/scratch/deep/0.png']
  assert [dataset.test.records[i]['mask'] for i in range(2)] == masks
  assert not any('mask without' in warning for warning in dataset.report['warnings'])
  assert any(f'1 image in {tmp_path}/train/bad left out' in w for w in dataset.report['warnings'])


def test_a_test_set_inside_the_training_folder_is_not_trained_on(tmp_path: Path) -> None:
  for name in ('0.png', '1.png', 'day/2.png', 'check/good/0.png', 'check/dent/0.png'):
    save(tmp_path / name)
  dataset = plain(tmp_path, test_dir=str(tmp_path / 'check'))
  assert dataset.train.names == ['0.png', '1.png', 'day/2.png']
  assert dataset.test.names == ['dent/0.png', 'good/0.png']
  os.rename(tmp_path / 'check', tmp_path / 'test')
  unsaid = plain(tmp_path)
  assert unsaid.train.names == dataset.train.names
  assert any('2 images in' in w and 'called test' in w for w in unsaid.report['warnings'])


def test_what_commands_wrote_is_left_out_unless_it_is_named(
  tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  for name in ('0.png', 'a_maps/000000_0.jpg', 'old_maps/000000_0.jpg', 'sheet.png'):
    save(tmp_path / name)
  for name in ('run/figures/curves.png', 'by_map/figures/curves.png'):
    save(tmp_path / name)
  (tmp_path / 'run/checkpoints').mkdir()
  (tmp_path / 'run/config.json').write_text('{}')
  (tmp_path / 'old_maps/index.html').write_text('')  # by an earlier version
  mark_output(tmp_path / 'a_maps')
  mark_output(tmp_path / 'by_map/figures')
  mark_output(tmp_path, 'sheet.png')
  mark_output(tmp_path, 'pairs.png')
  first = [tmp_path / '0.png']
  assert find_images([str(tmp_path)]) == first
  assert (
    f'5 results in {tmp_path} left out, written by ocrgan (name one itself to take it all the '
    'same): a_maps, by_map/figures, old_maps and 2 more' in capsys.readouterr().err
  )
  assert find_images([f'{tmp_path}/**/*.*g']) == first
  for named in (
    'a_maps',
    'run',
    'run/figures',
    'run/figures/curves.png',
    'sheet.png',
    'a_maps/*.jpg',
  ):
    capsys.readouterr()
    assert len(find_images([str(tmp_path / named)])) == 1
    assert f'{tmp_path / named}: written by ocrgan, taken because' in capsys.readouterr().err
  (tmp_path / 'empty').mkdir()
  mark_output(tmp_path / 'empty/maps')
  with pytest.raises(InputError, match='no images at .*empty; give .*written by ocrgan .*: maps'):
    find_images([str(tmp_path / 'empty')])
  save(tmp_path / '1.png')
  assert plain(tmp_path).train.names == ['0.png', '1.png']


def test_a_folder_called_like_an_image_is_a_folder(tmp_path: Path) -> None:
  save(tmp_path / 'set.png/0.png')
  os.mkfifo(tmp_path / 'pipe.png')
  (tmp_path / 'gone.png').symlink_to(tmp_path / 'nowhere.png')
  found = look_into(tmp_path)
  assert found.images == [tmp_path / 'gone.png', tmp_path / 'set.png/0.png']
  assert found.others == [tmp_path / 'pipe.png']
