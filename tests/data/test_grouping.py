"""Groups of twins in datasets with a given split, and in those that the project splits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.__main__ import describe_groups, draw_closest
from ocrgan_jax.data.examples import NORMAL, NORMAL_TYPE, Example
from ocrgan_jax.data.grouping import group_images, to_look_at
from ocrgan_jax.data.images import hold_out
from ocrgan_jax.drawing.pairs import in_lines
from ocrgan_jax.training.resolving import resolve
from ocrgan_jax.twins.pairs import Pairs
from ocrgan_jax.twins.squares import FINE
from tests.conftest import write_images
from tests.data.files import config_of, prepare
from tests.twins.cells import solar_cells


@pytest.fixture(scope='module')
def parts() -> list[np.ndarray]:
  """Photographs of 16 parts."""
  return [np.asarray(cell.resize((150, 150))) for cell in solar_cells(16)]


def darker(image: np.ndarray) -> np.ndarray:
  return (image * 0.8).astype(np.uint8)


def write(root: Path, parts: list[np.ndarray], *, with_test: bool = True) -> Path:
  """Part 0 is photographed twice in training, part 3 in both splits, part 12 twice in testing."""
  write_images(root / 'tile/train/good', [*parts[:10], parts[0][:, ::-1]])
  if with_test:
    write_images(root / 'tile/test/good', [darker(parts[3]), parts[11], parts[12]])
    write_images(root / 'tile/test/crack', [darker(parts[12])])
  return root


def test_a_given_split_is_grouped_from_its_training_images_alone(
  parts: list[np.ndarray], tmp_path: Path
) -> None:
  dataset = prepare('mvtec:tile', write(tmp_path / 'all', parts), groups='twins')
  train, test = dataset.train.groups, dataset.test.groups
  assert len(np.unique(train)) == 10 and train[0] == train[10]
  names = dict(zip(dataset.test.names, test, strict=True))
  known, other, new = (names[f'test/good/00{i}.png'] for i in range(3))
  assert known == train[3]
  assert new == names['test/crack/000.png'] and len({known, other, new}) == 3
  assert not {other, new} & {*train}
  similar = dict(zip(dataset.test.names, dataset.test.similarity, strict=True))
  assert similar['test/good/000.png'] > 0.9 and similar['test/good/001.png'] < 0.5
  assert dataset.train.similarity is None
  (first, second, similarity), *_ = dataset.report['pairs']
  assert {first[0], second[0]} <= {'train', 'test'} and similarity > 0.9
  text = describe_groups(dataset)
  assert '12 of images that show the same part, 10 of them in training' in text
  assert '1 of 3 sound test images (33.3%) have a twin in training' in text
  draw_closest(dataset, tmp_path / 'pairs.png')
  with Image.open(tmp_path / 'pairs.png') as picture:
    assert picture.width > 500
  write(tmp_path / 'alone', parts, with_test=False)
  alone = prepare('folder', tmp_path / 'alone/tile/train/good', groups='twins')
  np.testing.assert_array_equal(alone.train.groups, train)
  assert alone.test.similarity is None and not len(alone.test.groups)


def test_twins_never_lie_on_both_sides_of_a_split_that_is_drawn(parts: list[np.ndarray]) -> None:
  names = [f'{i}.png' for i in range(20)]
  examples = [Example(name, NORMAL, NORMAL_TYPE, Path(name)) for name in names]
  grey = [np.asarray(Image.fromarray(part).convert('L').resize((FINE, FINE))) for part in parts]
  small = np.stack([*grey[:10], *(darker(x) for x in grey[:10])])  # each part twice
  drawn = [
    group_images(examples, 20, small, rule='twins', train_share=0.6, seed=seed)
    for seed in (1, 1, 2)
  ]
  for each in drawn:
    train, test = each.groups[: each.num_train], each.groups[each.num_train :]
    assert not {*train} & {*test} and len({*train, *test}) == 10 and 10 <= each.num_train <= 14
    assert each.similarity.max() < 0.7
    kept, held = hold_out(train, 0.3, 0)
    assert not {*train[kept]} & {*train[held]}
  np.testing.assert_array_equal(drawn[0].order, drawn[1].order)
  assert drawn[0].order.tolist() != drawn[2].order.tolist()


def test_a_draw_from_one_part_alone_is_refused() -> None:
  names = ['a1.png', 'a2.png', 'a3.png', 'b1.png']
  examples = [Example(name, NORMAL, NORMAL_TYPE, Path(name)) for name in names]
  small = np.random.default_rng(0).integers(0, 256, (4, FINE, FINE), np.uint8)
  with pytest.raises(InputError, match='all 3 normal images show one part') as error:
    group_images(examples, 3, small, rule='^(.)', train_share=0.6, seed=0)
  assert '\n' not in str(error.value)


def test_a_rule_of_the_user_keeps_the_similarity(parts: list[np.ndarray], tmp_path: Path) -> None:
  root = write(tmp_path, parts)
  dataset = prepare('mvtec:tile', root, groups=r'/(\d+)')
  assert len(np.unique(dataset.train.groups)) == 11 and dataset.test.groups[0] == 0
  assert dataset.test.similarity is not None and dataset.report['pairs']
  nothing = prepare('mvtec:tile', root, groups='none')
  assert nothing.test.similarity is None and nothing.report['pairs'] == []


def test_a_changed_table_is_read_again_and_its_path_is_absolute(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  rng = np.random.default_rng(0)
  names = ['a.png', 'b.png', 'c.png']
  for name in names:
    Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / name)
  monkeypatch.chdir(tmp_path)
  for groups, expected in (('xxy', [0, 0, 1]), ('xyy', [0, 1, 1])):
    table = ''.join(f'{name},{group}\n' for name, group in zip(names, groups, strict=True))
    Path('groups.csv').write_text(table)
    dataset = prepare('folder', tmp_path, groups='groups.csv')
    assert dataset.train.groups.tolist() == expected
  config = config_of('folder:paper')
  config.data.groups = 'groups.csv'
  assert resolve(config).data.groups == str(tmp_path / 'groups.csv')


def test_pairs_to_look_at_lie_at_the_top_and_next_to_the_threshold() -> None:
  similarity = np.linspace(1, 0.5, 51, dtype=np.float32)  # 0.71 is the last twin, number 29
  pairs = Pairs(np.stack([np.arange(51), np.arange(1, 52)], 1).astype(np.int32), similarity)
  chosen = [first for first, _, _ in to_look_at(pairs)]
  twins = int((similarity > 0.7).sum())
  assert chosen == [0, 1, 2, 3, *range(twins - 4, twins + 4)]
  few = Pairs(pairs.numbers[28:], similarity[28:])
  assert [first for first, _, _ in to_look_at(few)] == [*range(28, 40)]


def test_long_names_keep_their_end() -> None:
  assert in_lines('a' * 40 + '/1.png').split('\n') == ['…' + 'a' * 28, '1.png']
  assert in_lines('1.png') == '1.png'
