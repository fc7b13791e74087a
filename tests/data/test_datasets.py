"""Each dataset, read from small generated files in its official layout."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax.core.checks import read
from ocrgan_jax.data.datasets import DATASETS
from ocrgan_jax.data.decoding import decode_mask
from tests.conftest import DATA, smooth_image, write_images
from tests.data.files import RNG, config_of, kinds, mask, prepare, refuses, save


def test_mvtec_ad_keeps_images_masks_and_names(tmp_path: Path) -> None:
  names = ['train/good/000.png', 'train/good/001.png', 'test/good/000.png', 'test/größe 1/ä b.png']
  images = [save(tmp_path / 'tile' / name) for name in names]
  masked = save(tmp_path / 'tile/ground_truth/größe 1/ä b_mask.png', mask())
  save(tmp_path / 'tile/ground_truth/größe 1/gone_mask.png', mask())
  dataset = prepare('mvtec:tile', tmp_path)
  assert dataset.train.names == names[:2] and dataset.test.names == names[2:]
  assert kinds(dataset.test) == [('good', 0), ('größe 1', 1)]
  record = dataset.test.records[1]
  assert record['image'] == images[3] and record['mask'] == masked and record['label'] == 1
  assert dataset.test.records[0]['mask'] == b''
  assert dataset.report['counts'] == {'train': {'good': 2}, 'test': {'good': 1, 'größe 1': 1}}
  assert (
    '1 mask left out, without a test image of its name: ground_truth/größe 1/gone_mask.png'
    in (dataset.report['warnings'])
  )


def test_mvtec_ad_mistakes(mvtec_folder: Path, tmp_path: Path) -> None:
  refuses('no data folder given', 'mvtec:tile', '')
  refuses('no such data folder: /no/such; expected <data_dir>', 'mvtec:tile', '/no/such')
  refuses("no 'tyle' in .*; there are tile", 'mvtec:tyle', mvtec_folder)
  (tmp_path / 'tile/train/good').mkdir(parents=True)
  refuses('no images in .*train/good; expected', 'mvtec:tile', tmp_path)
  save(tmp_path / 'box/train/good/0.png')
  refuses('no images in the folders of .*test; expected', 'mvtec:box', tmp_path)


def test_nothing_is_left_in_the_temporary_folder(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  write_images(tmp_path / 'data/tile/train/good', [smooth_image(RNG, 16) for _ in range(3)])
  save(tmp_path / 'data/tile/test/bad/0.png')
  (tmp_path / 'tmp').mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'tmp'))
  prepare('mvtec:tile', tmp_path / 'data')
  assert not list((tmp_path / 'tmp').iterdir())


def test_only_a_changed_folder_is_read_again(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  write_images(tmp_path / 'tile/train/good', [smooth_image(RNG, 16) for _ in range(3)])
  save(tmp_path / 'tile/test/bad/0.png')
  prepared = prepare('mvtec:tile', tmp_path)
  with monkeypatch.context() as patched:
    # Reading it again would call this.
    patched.setattr('ocrgan_jax.data.builder.inspect', None)
    again = prepare('mvtec:tile', tmp_path)
  assert again.train.names == prepared.train.names
  save(tmp_path / 'tile/train/good/new.png')
  assert len(prepare('mvtec:tile', tmp_path).train.names) == 4


def test_dagm(tmp_path: Path) -> None:
  for half, defective in (('Train', [2]), ('Test', [1, 3])):
    rows = ['1']
    for i in range(1, 5):
      bad = i in defective
      save(tmp_path / f'Class3/{half}/{i:04}.PNG', mask(i * 40))
      if bad:
        save(tmp_path / f'Class3/{half}/Label/{i:04}_label.PNG', mask())
      label = f'{i:04}_label.PNG' if bad else '0'
      rows.append(f'{i:04}\t{int(bad)}\t{i:04}.PNG\t0\t{label}\t')
    (tmp_path / f'Class3/{half}/Label/Labels.txt').parent.mkdir(exist_ok=True)
    (tmp_path / f'Class3/{half}/Label/Labels.txt').write_text('\r\n'.join(rows))
  dataset = prepare('dagm:Class3', tmp_path)
  assert dataset.train.names == [f'Train/{i:04}.PNG' for i in (1, 3, 4)]
  assert dataset.test.labels.tolist() == [1, 0, 1, 0]
  assert dataset.report['masks'] == 2
  refuses("no 'Class4' in .*; there are Class3", 'dagm:Class4', tmp_path)
  labels = tmp_path / 'Class3/Test/Label/Labels.txt'
  labels.write_text(labels.read_text().replace('\t1\t', '\tbanana\t', 1))
  refuses(r"Labels.txt labels 0001.PNG 'banana'; expected 0 or 1", 'dagm:Class3', tmp_path)
  labels.write_text(labels.read_text().replace('banana', '1'))
  save(tmp_path / 'Class3/Test/0009.PNG')
  refuses(r'0009.PNG has no line in .*Labels.txt', 'dagm:Class3', tmp_path)


def test_kolektor_splits_by_item_and_keeps_identical_items_together(tmp_path: Path) -> None:
  for item in range(1, 11):
    for part in range(4):
      stem = tmp_path / f'kos{item:02}/Part{part}'
      # kos03 and kos07 are the same, byte for byte.
      seed = 3 if item == 7 else item
      save(stem.with_suffix('.jpg'), smooth_image(np.random.default_rng([seed, part]), 16))
      defective = part == 3 and item in (1, 2)
      save(stem.with_name(f'Part{part}_label.bmp'), mask(1 if defective else 0))
  for seed in range(5):
    dataset = prepare('kolektor', tmp_path, split_seed=seed)
    train, test = ({name.split('/')[0] for name in s.names} for s in (dataset.train, dataset.test))
    items = {
      n.split('/')[0]
      for n, y in zip(dataset.test.names, dataset.test.labels, strict=True)
      if y == 0
    }
    assert not train & items
    assert ('kos03' in train) == ('kos07' in train)
    assert 30 <= len(dataset.train.names) <= 36  # 80 % of 38, by whole items
    assert dataset.test.labels.sum() == 2 and {'kos01', 'kos02'} <= test
    assert not any('also in training' in w for w in dataset.report['warnings'])
  by_image = prepare('kolektor', tmp_path, split='image')
  assert len(by_image.train.names) == 30
  assert any('also in training' in w for w in by_image.report['warnings'])
  refuses('data.split is .*one of item, image', 'kolektor', tmp_path, split='half')
  (tmp_path / 'kos05/Part1_label.bmp').unlink()
  refuses(r'Part1.jpg has no Part1_label.bmp next to it', 'kolektor', tmp_path)


@pytest.mark.parametrize('damage', ['flipped', 'cut short', 'gone'])
def test_damaged_records_are_named_and_rebuilt(
  damage: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
  write_images(tmp_path / 'tile/train/good', [smooth_image(RNG, 16) for _ in range(3)])
  save(tmp_path / 'tile/test/bad/0.png')
  first = prepare('mvtec:tile', tmp_path)
  images = [first.train.records[i]['image'] for i in range(3)]
  folder = Path(first.train.records.place[0])
  (records,) = folder.glob('*-train.array_record*')
  content = bytearray(records.read_bytes())
  content[len(content) // 2] ^= 1
  records.unlink()
  if damage != 'gone':
    records.write_bytes(content if damage == 'flipped' else content[:100])
  again = prepare('mvtec:tile', tmp_path)
  assert f'warning: the prepared dataset {folder} is damaged ({records.name} ' in (
    capsys.readouterr().err
  )
  assert [again.train.records[i]['image'] for i in range(3)] == images


def test_elpv_splits_sound_cells_and_skips_uncertain_ones(tmp_path: Path) -> None:
  rows = ['0.0 mono'] * 10 + ['1.0 mono'] * 3 + ['0.3333333333333333 mono'] * 2 + ['0.0 poly'] * 4
  names = [f'images/cell{i:04}.png' for i in range(len(rows))]
  for name in names:
    save(tmp_path / name)
  lines = [f'{name}  {row}' for name, row in zip(names, rows, strict=True)]
  (tmp_path / 'labels.csv').write_text('\n'.join(lines) + '\n')
  dataset = prepare('elpv:mono', tmp_path)
  assert len(dataset.train.names) == 8
  assert sorted(dataset.test.labels) == [0, 0, 1, 1, 1]
  assert not set(dataset.train.names) & set(dataset.test.names)
  assert '2 cells left out: their defect probability is between' in dataset.report['warnings'][0]
  other = prepare('elpv:mono', tmp_path, split_seed=1)
  assert other.train.names != dataset.train.names
  unsure = prepare('elpv:mono', tmp_path, anomalous_from=0.3)
  assert unsure.test.labels.sum() == 5
  refuses(
    'data.normal_up_to is -1.0; it must lie between 0 and 1',
    'elpv:mono',
    tmp_path,
    normal_up_to=-1.0,
  )
  assert len(prepare('elpv:both', tmp_path).train.names) == round(0.8 * 14)
  refuses(
    "data.category is 'amorphous'; it must be one of mono, poly, both",
    'elpv:amorphous',
    tmp_path,
  )
  refuses(
    r'no .*labels.csv; expected labels.csv and images/',
    'elpv:mono',
    tmp_path / 'images',
  )


def test_elpv_from_its_package() -> None:
  pytest.importorskip('elpv_dataset', reason='needs pip install elpv-dataset')
  dataset = prepare('elpv:mono', '')
  # 588 sound and 313 defective cells, as the dataset's own table has them.
  assert len(dataset.train.names) + (dataset.test.labels == 0).sum() == 588
  assert (dataset.test.labels == 1).sum() == 313


def test_magnetic_tile_as_published(tmp_path: Path) -> None:
  for i in range(10):
    save(tmp_path / f'MT_Free/Imgs/exp_{i}.jpg', mask(i * 20))
    save(tmp_path / f'MT_Free/Imgs/exp_{i}.png', mask(0))
  for kind in ('Crack', 'Uneven'):
    save(tmp_path / f'MT_{kind}/Imgs/exp_1.jpg', mask(100))
    save(tmp_path / f'MT_{kind}/Imgs/exp_1.png', mask())
  dataset = prepare('magnetic_tile', tmp_path)
  assert len(dataset.train.names) == 8
  assert sorted(kinds(dataset.test)) == [('crack', 1), ('good', 0), ('good', 0), ('uneven', 1)]
  assert dataset.report['masks'] == 2
  refuses('no images in .*MT_Free/Imgs; expected', 'magnetic_tile', tmp_path / 'MT_Crack')


def test_folder_of_normal_images_with_and_without_a_test_set(tmp_path: Path) -> None:
  for i in range(4):
    save(tmp_path / f'sound/photo {i}.png')
  alone = prepare('folder', tmp_path / 'sound')
  assert len(alone.train.names) == 4 and not alone.test.names
  assert any('AUROC will not be reported' in w for w in alone.report['warnings'])
  save(tmp_path / 'new/unknown.png')
  unlabelled = prepare('folder', tmp_path / 'sound', test_dir=str(tmp_path / 'new'))
  assert kinds(unlabelled.test) == [('unlabelled', -1)]
  save(tmp_path / 'new/good/a.png')
  save(tmp_path / 'new/scratch/a.png')
  labelled = prepare('folder', tmp_path / 'sound', test_dir=str(tmp_path / 'new'))
  assert kinds(labelled.test) == [('unlabelled', -1), ('good', 0), ('scratch', 1)]
  refuses('no such data folder: /no/such', 'folder', tmp_path / 'sound', test_dir='/no/such')
  (tmp_path / 'void').mkdir()
  refuses(
    'no images in data.test_dir',
    'folder',
    tmp_path / 'sound',
    test_dir=str(tmp_path / 'void'),
  )
  refuses(
    'no images in .*void; expected a folder of normal images',
    'folder',
    tmp_path / 'void',
  )


@pytest.mark.parametrize('place', ['beside', 'inside'])
def test_masks_of_any_name_lie_beside_the_test_images_or_among_them(
  place: str, tmp_path: Path
) -> None:
  for i in range(3):
    save(tmp_path / f'sound/{i}.png')
  test = tmp_path / 'new'
  masks = (tmp_path if place == 'beside' else test) / 'ground_truth/dent'
  names = ('0.PNG', '1.bmp', '2_mask.jpg', '3_Mask.PNG', '4_mask.tiff', '5_mask.png')
  save(test / 'good/0.png')
  for i, name in enumerate(names):
    save(test / f'dent/{i}.png')
    save(masks / name, mask())
  save(masks / '5.png', mask())
  (masks / '6_mask.npy').write_bytes(b'mask')
  dataset = prepare('folder', tmp_path / 'sound', test_dir=str(test))
  assert kinds(dataset.test) == [('dent', 1)] * 6 + [('good', 0)]
  assert dataset.report['masks'] == 6
  for i, name in enumerate(names):
    content = dataset.test.records[i]['mask']
    assert content == (masks / name).read_bytes()
    np.testing.assert_array_equal(decode_mask(content, 16), mask() > 0)
  assert dataset.report['warnings'] == [
    '1 mask left out, without a test image of its name: ground_truth/dent/5.png',
    '1 mask left out, not an image by extension: ground_truth/dent/6_mask.npy',
  ]
  # The same rule where the test images are part of the tree.
  (tmp_path / 'tree/train/good').mkdir(parents=True)
  for path in sorted((tmp_path / 'sound').iterdir()):
    path.rename(tmp_path / 'tree/train/good' / path.name)
  test.rename(tmp_path / 'tree/test')
  if place == 'beside':
    masks.parent.rename(tmp_path / 'tree/ground_truth')
  tree = prepare('folder', tmp_path / 'tree')
  assert (kinds(tree.test), tree.report['masks']) == (kinds(dataset.test), 6)


def test_folders_without_one_called_good_are_named(tmp_path: Path) -> None:
  for name in ('train/OK/0.png', 'train/OK/1.png', 'test/OK/0.png', 'test/NG/1.png'):
    save(tmp_path / 'parts' / name)
  refuses(
    r'no images in .*train/good \(there are folders OK\); exp',
    'folder',
    tmp_path / 'parts',
  )
  train, test = tmp_path / 'parts/train/OK', str(tmp_path / 'parts/test')
  warnings = prepare('folder', train, test_dir=test).report['warnings']
  assert warnings == [
    'no test image is labelled normal: AUROC will not be reported; no folder of sound parts is '
    'called good; there are NG, OK'
  ]


def test_folder_in_the_layout_of_mvtec_ad(mvtec_folder: Path) -> None:
  dataset = prepare('folder', mvtec_folder / 'tile')
  assert len(dataset.train.names) == 20
  assert kinds(dataset.test) == [('good', 0)] * 5 + [('scratch', 1)] * 6


def test_an_unknown_dataset_is_named() -> None:
  refuses(
    "data.dataset is 'imagenet'; it must be one of mvtec_ad",
    'mvtec:tile',
    '',
    dataset='imagenet',
  )


# The counts are those of the README beside the data: to train on, normal, anomalous, with a mask.
@pytest.mark.parametrize(
  ('name', 'data_dir', 'counts'),
  [
    ('mvtec:bottle', 'mvtec_ad', (209, 20, 63, 0)),
    ('mvtec:leather', 'mvtec_ad', (4, 3, 5, 5)),
    ('dagm:Class1', 'dagm', (384, 120, 71, 71)),
    ('magnetic_tile', 'magnetic_tile', (752, 200, 392, 392)),
    ('kolektor', 'kolektor_sdd', (35, 7, 6, 6)),
    ('cifar10:s1-plane', 'cifar10', (5000, 1000, 9000, 0)),
    ('cifar10:s2-plane', 'cifar10', (45000, 9000, 6000, 0)),
  ],
)
def test_real_datasets(name: str, data_dir: str, counts: tuple[int, ...]) -> None:
  if not (DATA / data_dir).is_dir():
    pytest.skip(f'no real images at {DATA}; set OCRGAN_DATA_DIR')
  config = config_of(name)
  dataset = DATASETS[config.data.dataset]
  settings = read(dataset.SETTINGS, config.data)
  listed = dataset(str(DATA / data_dir), settings, Path('unused')).listed
  labels = [example.label for example in listed.test]
  masks = sum(bool(example.mask) for example in listed.test)
  assert (len(listed.train), labels.count(0), labels.count(1), masks) == counts
  assert not any(example.label for example in listed.train)


def test_missing_files_of_a_table_are_named(tmp_path: Path) -> None:
  (tmp_path / 'labels.csv').write_text('images/a.png 0.0 mono\n\nimages/b.png 1.0 mono\n')
  save(tmp_path / 'images/a.png')
  refuses(
    r'1 damaged file: images/b.png \(No such file',
    'elpv:mono',
    tmp_path,
    train_share=1.0,
  )
  (tmp_path / 'labels.csv').write_text('images/a.png 0.0 mono\nimages/\0.png 1.0 mono\n')
  refuses('1 damaged file: .* .embedded null byte', 'elpv:mono', tmp_path, train_share=1.0)
  (tmp_path / 'labels.csv').write_text('images/a.png mono\n')
  refuses(r"labels.csv has a line 'images/a.png mono'; expected", 'elpv:mono', tmp_path)


def test_good_is_normal_in_any_case_and_other_files_are_reported(tmp_path: Path) -> None:
  for name in ('train/good/0.png', 'train/good/1.png', 'test/Good/0.png', 'test/dent/0.png'):
    save(tmp_path / 'tile' / name)
  (tmp_path / 'tile/train/good/notes.txt').write_text('hello')
  save(tmp_path / 'tile/test/stray.png')
  dataset = prepare('mvtec:tile', tmp_path)
  assert sorted(kinds(dataset.test)) == [('dent', 1), ('good', 0)]
  told = ' '.join(dataset.report['warnings'])
  assert 'not an image by extension: notes.txt' in told and '1 image directly in' in told
