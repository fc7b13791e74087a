import csv
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.decoding import upright_size
from ocrgan_jax.drawing import overlay
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.predict_files import find_images, predict_files
from ocrgan_jax.inference.prediction import Prediction
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.tables import write_table
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.scoring.anomaly_score import map_score
from tests.conftest import REPOSITORY, decode_image, run_module


@pytest.fixture(scope='module')
def scorer(trained: Path) -> Scorer:
  return load(trained)


@pytest.fixture(scope='module')
def paths(mvtec_folder: Path) -> list[Path]:
  return find_images([str(mvtec_folder / 'tile/test')])


def read_csv(table: Path) -> list[dict[str, str]]:
  with table.open(errors='surrogateescape') as file:
    return list(csv.DictReader(file))


def test_an_image_scores_the_same_alone_in_a_batch_and_in_evaluate(
  scorer: Scorer, paths: list[Path], trained: Path
) -> None:
  images = np.stack([decode_image(path.read_bytes(), 32) for path in paths])
  together = scorer.score(images)
  assert together.shape == (11,) and together.dtype == np.float32
  np.testing.assert_allclose(scorer.score(images[::-1])[::-1], together, rtol=1e-5)
  alone = [scorer.score(images[i : i + 1])[0] for i in range(11)]
  np.testing.assert_allclose(alone, together, rtol=1e-5)
  predicted = scorer.score_files(paths)
  assert [p.path for p in predicted] == [str(path) for path in paths]
  scaled = scorer.scale(together)
  np.testing.assert_allclose([p.score for p in predicted], scaled, rtol=1e-4)
  evaluate(trained, pictures=False)
  evaluated = {row['path']: float(row['score']) for row in read_csv(trained / 'scores.csv')}
  for path, score in zip(paths, scaled, strict=True):
    name = f'test/{path.parent.name}/{path.name}'
    assert evaluated[name] == pytest.approx(score, rel=1e-4)
  assert scorer.score(images[:0]).shape == (0,)


def test_decisions_use_the_models_threshold_or_the_given_one(
  scorer: Scorer, paths: list[Path]
) -> None:
  limit = scorer.calibration.limit
  for p in scorer.stream_files(paths):
    assert p.decision == ('anomalous' if p.score > limit else 'normal')
    assert p.seconds > 0
  assert {p.decision for p in scorer.stream_files(paths, threshold=-1e9)} == {'anomalous'}
  assert {p.decision for p in scorer.stream_files(paths, threshold=1e9)} == {'normal'}


RIGHT = np.zeros((3, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
  ('images', 'given'),
  [
    (RIGHT.astype(np.float32), 'float32 [images, 32, 32, 3]'),
    (RIGHT[:, :16], 'uint8 [images, 16, 32, 3]'),
    (RIGHT[..., :1], 'uint8 [images, 32, 32, 1]'),
    (RIGHT[0], 'uint8 [images, 32, 3]'),
  ],
)
def test_images_of_another_shape_or_type_are_refused_in_one_line(
  images: np.ndarray, given: str, scorer: Scorer
) -> None:
  for use in (scorer.score, scorer.maps, scorer.views, scorer.score_batch):
    with pytest.raises(
      InputError, match=r'^images must be uint8 \[images, 32, 32, 3\], RGB.*$'
    ) as e:
      use(images)
    assert f'these are {given}' in str(e.value)


def test_an_unreadable_image_is_reported_and_the_others_are_scored(
  scorer: Scorer, paths: list[Path], tmp_path: Path
) -> None:
  (tmp_path / 'bad.png').write_text('no image')
  mixed = [*paths[:3], tmp_path / 'bad.png', tmp_path / 'gone.png', *paths[3:]]
  found = list(scorer.stream_files(mixed))
  assert len(found) == 13
  assert found[3].error == 'not an image' and 'No such file' in found[4].error
  assert math.isnan(found[3].score) and found[3].decision == ''
  whole = [p.score for p in found if not p.error]
  np.testing.assert_allclose(whole, [p.score for p in scorer.stream_files(paths)], rtol=1e-4)


def test_images_are_found_by_file_folder_and_pattern(mvtec_folder: Path) -> None:
  test = mvtec_folder / 'tile/test'
  one = test / 'good/000.png'
  assert find_images([str(one)]) == [one]
  assert len(find_images([str(test)])) == 11
  assert len(find_images([str(test / 'scratch/*.png'), str(test)])) == 11  # each once
  with pytest.raises(InputError, match='no images at /no/such'):
    find_images(['/no/such'])


def test_predict_as_a_command(trained: Path, mvtec_folder: Path, tmp_path: Path) -> None:
  """Photographs of other sizes than the model's, one unreadable, one with an odd name."""
  photographs = tmp_path / 'photographs'
  photographs.mkdir()
  wide = Image.open(mvtec_folder / 'tile/test/scratch/000.png').resize((90, 40))
  wide.save(photographs / 'wide.png')
  odd = photographs / os.fsdecode(b'f\xfcr.png')
  wide.save(odd)
  wide.save(photographs / f'{"long" * 60}.png')
  wide.save(photographs / f'{"瓶" * 80}.png')
  (photographs / 'bad.png').write_text('no image')
  arguments = [f'--workdir={trained}', f'--output={photographs}/out.csv']
  arguments += [str(mvtec_folder / 'tile/test'), str(photographs)]
  options = ['--threshold=-1e9', '--fail-on-anomaly', '--maps']
  done = run_module('ocrgan_jax.predict', *arguments, *options)
  assert done.returncode == 3, done.stderr
  assert '16 images, 15 anomalous (score over -1000000000.000' in done.stdout
  assert '1 could not be read' in done.stderr
  rows = {Path(row['path']).name: row for row in read_csv(photographs / 'out.csv')}
  assert rows['bad.png']['error'] == 'not an image' and rows['bad.png']['score'] == ''
  assert rows['bad.png']['map'] == '' and rows['bad.png']['decision'] == ''
  assert odd.name in rows
  # The worst ones, the highest score first, on the terminal too.
  named = [float(line.split()[0]) for line in done.stdout.splitlines() if ' anomalous  ' in line]
  every = sorted((float(r['score']) for r in rows.values() if r['score']), reverse=True)
  np.testing.assert_allclose(named[:3], every[:3], atol=0.006)
  assert len(named) == 10
  with Image.open(rows['wide.png']['map']) as picture:
    assert picture.size == (90, 40 + 18)  # the photograph's own size, and the strip
  page = (photographs / 'out_maps/index.html').read_text()
  assert page.count('<figure>') == 15 and 'bad.png: not an image' in page
  # Again: its own pictures are no photographs.
  done = run_module('ocrgan_jax.predict', *arguments)
  assert '16 images' in done.stdout and done.returncode == 0, done.stderr


def test_tables_of_json_lines(scorer: Scorer, paths: list[Path], tmp_path: Path) -> None:
  found = [*scorer.stream_files(paths[:2]), Prediction('gone.png', math.nan, '', 0.1, 'why')]
  assert list(write_table(tmp_path / 'out.jsonl', found, 3)) == found
  lines = [json.loads(line) for line in (tmp_path / 'out.jsonl').read_text().splitlines()]
  assert [line['score'] for line in lines] == [found[0].score, found[1].score, None]
  assert [line['path'] for line in lines] == [p.path for p in found]


def test_mistakes_are_reported_before_anything_is_scored(
  trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  test = str(mvtec_folder / 'tile/test')
  (tmp_path / 'a_maps').write_text('')
  (tmp_path / 'table.csv').write_text('what,ever\n1,2\n')
  before = sorted(tmp_path.rglob('*'))
  for arguments, name, options, message in (
    ([], 'a.csv', {}, 'no images given: give files, folders or patterns'),
    ([test], 'a.csv', {'threshold': math.nan}, '--threshold is nan; it must be a finite number'),
    ([test], '.', {}, 'cannot write .*: it is a folder; choose another --output'),
    (
      [test],
      'a_maps/out.csv',
      {},
      'cannot write .*a_maps is not a folder; choose another --output',
    ),
    ([test], 'a' * 300, {}, 'cannot write .*: File name too long; choose another --output'),
    ([test], 'a.csv', {'maps': True}, 'cannot write .*a_maps/index.html: '),
    ([f'{test}/*'], 'a.csv', {'keep_watching': True}, '--watch needs folders: give existing'),
    ([test], 'table.csv', {'keep_watching': True}, 'table.csv is not a table of predictions, or'),
  ):
    with pytest.raises(InputError, match=message) as caught:
      predict_files(trained, arguments, tmp_path / name, **options)
    assert '\n' not in str(caught.value)
  assert sorted(tmp_path.rglob('*')) == before


def test_pictures_of_any_shape(scorer: Scorer, tmp_path: Path) -> None:
  sizes = [(1, 1), (3, 500), (70_000, 20), (20, 70_000), (30_000, 60), (96, 64)]
  for number, size in enumerate(sizes):
    Image.new('L', size, 100).save(tmp_path / f'{number}.png')
  found = list(scorer.stream_files(find_images([str(tmp_path)]), maps=tmp_path / 'maps'))
  drawn = [upright_size(Path(p.map).read_bytes()) for p in found]
  assert drawn == [(80, 19), (80, 518), (60_000, 35), (80, 60_018), (30_000, 78), (96, 82)]


def test_a_row_that_cannot_be_drawn_costs_its_picture_alone(
  trained: Path,
  mvtec_folder: Path,
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  """And one photograph is explained without a table; an interrupted table keeps its rows."""
  draw, calls = overlay.draw, []

  def draw_once(*arguments: Any) -> np.ndarray:
    calls.append(arguments)
    if len(calls) == 1:
      raise MemoryError('too large')
    return draw(*arguments)

  monkeypatch.setattr(overlay, 'draw', draw_once)
  table, folder = tmp_path / 'out.csv', mvtec_folder / 'tile/test/scratch'
  assert predict_files(trained, [str(folder)], table, maps=True)[1] == 0
  told = capsys.readouterr()
  assert f'warning: no picture of {folder}/000.png: too large' in told.err
  rows = read_csv(table)
  assert [bool(row['map']) for row in rows] == [False] + [True] * 5
  page = (tmp_path / 'out_maps/index.html').read_text()
  assert rows[1]['place'] in page and page.count('<figure>') == 5

  scale = '1 is the highest score among the held-out sound photographs'
  for threshold, verdict, place in ((-1.0, 'anomalous', ''), (1e9, 'normal', 'most unusual at: ')):
    predict_files(trained, [str(folder / '001.png')], table, threshold=threshold)
    lines = capsys.readouterr().out.splitlines()
    assert re.match(rf' +\S+  {verdict}  +.*001.png$', lines[0])
    assert lines[1].endswith(f'the threshold of {threshold:.2f}; {scale}') and scale in lines[-2]
    assert re.fullmatch(rf' +where  {place}\w.*', lines[2])

  def interrupted(*_: Any, **__: Any) -> Iterator[Prediction]:
    yield from (Prediction(row['path'], 1.0, 'normal', 0.1, '') for row in rows[:2])
    assert len(read_csv(table)) == 2  # the rows are there as soon as they are known
    raise KeyboardInterrupt

  monkeypatch.setattr(Scorer, 'stream_files', interrupted)
  with pytest.raises(KeyboardInterrupt):
    predict_files(trained, [str(folder)], table)
  assert f'{table} has 2 of 6 rows' in capsys.readouterr().err
  assert len(read_csv(table)) == 2


def test_a_score_that_is_not_finite_is_an_error(scorer: Scorer, paths: list[Path]) -> None:
  broken = scorer.state.replace(
    generator=jax.tree.map(lambda value: value * np.float32(np.nan), scorer.state.generator)
  )
  unusable = dataclasses.replace(scorer, arrays=scorer.arrays._replace(state=broken))
  with pytest.raises(InputError, match='a score is not finite'):
    list(unusable.stream_files(paths))


def test_the_outline_and_the_verdict_agree(scorer: Scorer) -> None:
  """There is an outline exactly if the map's score is over the limit."""
  rng = np.random.default_rng(0)
  grey = np.full((64, 96, 3), 128, np.uint8)
  for level in (0.5, 0.9, 1.1, 3.0):
    found = rng.random((32, 32)).astype(np.float32) * level
    score = float(map_score(found[None], 200)[0])
    decision = 'anomalous' if score > 1 else 'normal'
    picture = overlay.draw(grey, found, 1.0, decision, score)[:64]
    assert (picture == 255).all(-1).any() == (decision == 'anomalous')
  calm = overlay.draw(grey, np.full((32, 32), 0.69, np.float32), 1.0, 'normal', 0.5)
  np.testing.assert_array_equal(calm[:64], grey)  # a sound part looks as it is


@pytest.mark.slow
def test_a_watched_folder(trained: Path, mvtec_folder: Path, tmp_path: Path) -> None:
  """Files arrive one by one, one of them slowly; then the command is stopped and resumed."""
  line, table = tmp_path / 'line', tmp_path / 'line/out.csv'  # and its pictures beside it
  line.mkdir()
  content = (mvtec_folder / 'tile/test/scratch/000.png').read_bytes()
  (line / 'first.png').write_bytes(content)
  command = [sys.executable, '-m', 'ocrgan_jax.predict', f'--workdir={trained}', str(line)]
  command += [f'--output={table}', '--watch', '--threshold=-1e9', '--fail-on-anomaly', '--maps']
  options = {'cwd': REPOSITORY, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
  with subprocess.Popen(command, **options) as process:
    assert process.stdout.readline().startswith('waiting for photographs in')
    assert 'first.png' in process.stdout.readline()
    with (line / 'slow.png').open('wb') as file:
      for start in range(0, len(content), 400):
        file.write(content[start : start + 400])
        file.flush()
        time.sleep(0.2)
    assert re.match(r' +\S+  anomalous  .*slow.png', process.stdout.readline())
    (line / 'bad.jpg').write_text('no image')
    assert 'bad.jpg: not an image' in process.stdout.readline()
    process.send_signal(2)
    _, errors = process.communicate(timeout=30)
  assert process.returncode == 3 and 'Traceback' not in errors
  with subprocess.Popen(command, **options) as again:
    (line / 'last.png').write_bytes(content)
    lines = [again.stdout.readline() for _ in range(2)]
    again.send_signal(2)
    assert 'last.png' in lines[1] and 'already has 3 images' in again.communicate(timeout=30)[1]
  rows = read_csv(table)
  names = [Path(row['path']).name for row in rows]
  assert names == ['first.png', 'slow.png', 'bad.jpg', 'last.png']
  assert rows[0]['score'] == rows[1]['score'] and rows[2]['error'] == 'not an image'
  pictures = [Path(row['map']).name for row in rows]
  assert pictures == ['000000_first.jpg', '000001_slow.jpg', '', '000003_last.jpg']
