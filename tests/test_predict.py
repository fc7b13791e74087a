import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.data import prepare_dataset
from ocrgan_jax.data.decoding import decode_image
from ocrgan_jax.data.pipeline import StreamedImages
from ocrgan_jax.errors import InputError
from ocrgan_jax.evaluate import evaluate
from ocrgan_jax.predict import find_images, predict
from ocrgan_jax.scorer import Scorer, load
from tests.conftest import run_module


@pytest.fixture(scope='module')
def scorer(trained: Path) -> Scorer:
  return load(trained)


@pytest.fixture(scope='module')
def paths(mvtec_folder: Path) -> list[Path]:
  return find_images([str(mvtec_folder / 'tile/test')])


def test_an_image_scores_the_same_alone_in_a_batch_in_predict_and_in_evaluate(
  scorer: Scorer, paths: list[Path], trained: Path
) -> None:
  images = np.stack([decode_image(path.read_bytes(), 32) for path in paths])
  together = scorer.score(images)
  assert together.shape == (11,) and together.dtype == np.float32
  np.testing.assert_allclose(scorer.score(images[::-1])[::-1], together, rtol=1e-5)
  alone = [scorer.score(images[i : i + 1])[0] for i in range(11)]
  np.testing.assert_allclose(alone, together, rtol=1e-5)
  predicted = list(predict(scorer, paths))
  assert [p.path for p in predicted] == [str(path) for path in paths]
  np.testing.assert_allclose([p.score for p in predicted], together, rtol=1e-5)
  evaluate(trained, pictures=False)
  with (trained / 'scores.csv').open() as file:
    evaluated = {row['path']: float(row['score']) for row in csv.DictReader(file)}
  for path, score in zip(paths, together, strict=True):
    name = f'test/{path.parent.name}/{path.name}'
    assert evaluated[name] == pytest.approx(score, rel=1e-5)
  assert scorer.score(images[:0]).shape == (0,)


def test_decisions_are_taken_at_the_models_threshold_or_at_ones_own(
  scorer: Scorer, paths: list[Path]
) -> None:
  limit = scorer.calibration.threshold
  for p in predict(scorer, paths):
    assert p.decision == ('anomalous' if p.score > limit else 'normal')
    assert p.scaled_score == pytest.approx(float(scorer.scale(np.array([p.score]))[0]))
    assert p.seconds > 0
  assert {p.decision for p in predict(scorer, paths, threshold=-1.0)} == {'anomalous'}
  assert {p.decision for p in predict(scorer, paths, threshold=1e9)} == {'normal'}


RIGHT = np.zeros((3, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
  ('images', 'given'),
  [
    (RIGHT.astype(np.float32), 'float32 [images, 32, 32, 3]'),
    (RIGHT[:, :16], 'uint8 [images, 16, 32, 3]'),
    (RIGHT[..., :1], 'uint8 [images, 32, 32, 1]'),
    (RIGHT[..., 0], 'uint8 [images, 32, 32]'),
    (RIGHT[0], 'uint8 [images, 32, 3]'),
  ],
)
def test_images_of_another_form_are_refused_in_one_line(
  images: np.ndarray, given: str, scorer: Scorer
) -> None:
  for use in (
    scorer.score,
    scorer.maps,
    scorer.explain,
    scorer.score_batch,
    lambda images: list(scorer.batches(images)),
  ):
    with pytest.raises(InputError) as error:
      use(images)
    message = str(error.value)
    assert message.startswith('images must be uint8 [images, 32, 32, 3], RGB')
    assert f'these are {given}' in message and '\n' not in message


def test_streamed_images_of_another_size_are_refused(scorer: Scorer, mvtec_folder: Path) -> None:
  test = prepare_dataset(str(mvtec_folder), scorer.config.data).test
  assert scorer.score(StreamedImages(test.records, np.arange(3), 32)).shape == (3,)
  with pytest.raises(InputError, match=r'these are uint8 \[images, 64, 64, 3\]'):
    scorer.score(StreamedImages(test.records, np.arange(3), 64))


def test_an_unreadable_image_is_reported_in_its_row_and_the_rest_goes_on(
  scorer: Scorer, paths: list[Path], tmp_path: Path
) -> None:
  (tmp_path / 'bad.png').write_text('no image')
  mixed = [*paths[:3], tmp_path / 'bad.png', tmp_path / 'gone.png', *paths[3:]]
  found = list(predict(scorer, mixed))
  assert len(found) == 13
  assert found[3].error == 'not an image' and 'No such file' in found[4].error
  assert math.isnan(found[3].score) and found[3].decision == ''
  whole = [p.score for p in found if not p.error]
  np.testing.assert_allclose(whole, [p.score for p in predict(scorer, paths)], rtol=1e-5)


def test_files_folders_and_patterns(mvtec_folder: Path) -> None:
  test = mvtec_folder / 'tile/test'
  one = test / 'good/000.png'
  assert find_images([str(one)]) == [one]
  assert len(find_images([str(test)])) == 11
  assert len(find_images([str(test / 'scratch/*.png'), str(test)])) == 11  # each once
  with pytest.raises(InputError, match='no images at /no/such'):
    find_images(['/no/such'])


def test_the_command(trained: Path, mvtec_folder: Path, tmp_path: Path) -> None:
  (tmp_path / 'bad.png').write_text('no image')
  arguments = [
    f'--workdir={trained}',
    f'--output={tmp_path}/out.csv',
    '--threshold=-1',
    '--fail-on-anomaly',
    '--maps',
    str(mvtec_folder / 'tile/test'),
    str(tmp_path / 'bad.png'),
  ]
  done = run_module('ocrgan_jax.predict', *arguments)
  assert done.returncode == 2, done.stderr
  assert '12 images, 11 anomalous (score over -1)' in done.stdout
  assert '1 could not be read' in done.stderr
  with (tmp_path / 'out.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert [row['decision'] for row in rows] == ['anomalous'] * 11 + ['']
  assert [Path(row['map']).name for row in rows[:2]] == ['000000_000.png', '000001_001.png']
  for row in rows[:11]:
    with Image.open(row['map']) as picture:
      assert picture.size == (32, 32)
  assert rows[-1]['map'] == '' and len(list((tmp_path / 'out_maps').iterdir())) == 11
  assert rows[-1]['error'] == 'not an image' and rows[-1]['score'] == ''
  assert {p.name for p in tmp_path.iterdir()} == {'bad.png', 'out.csv', 'out_maps'}
  nothing = run_module('ocrgan_jax.predict', f'--workdir={trained}')
  assert nothing.returncode == 1 and nothing.stderr.startswith('error: no images given')
