"""Each experiment with `--quick`; run by `make test-slow`."""

import importlib
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from experiments import no_signal, runner
from experiments.paper import experiment, tables
from experiments.paper.experiment import Experiment
from ocrgan_jax.training.resolving import resolve
from tests.conftest import DATA, REPOSITORY, run_module, tiny_config

pytestmark = pytest.mark.slow

WITH_PICTURE = ('figure_7', 'figure_8', 'figure_9', 'figure_10', 'figure_11', 'figure_12')


@pytest.fixture(scope='module')
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """One folder for all experiments, so that the runs they share are run once."""
  return tmp_path_factory.mktemp('experiments')


def experiment_of(name: str) -> Experiment:
  found: Experiment = importlib.import_module(f'experiments.paper.{name}').EXPERIMENT
  assert found.name == name
  return found


@pytest.mark.parametrize('name', ['table_5', 'table_6', 'table_7', 'open_choices', *WITH_PICTURE])
def test_runs_on_a_small_mvtec(name: str, workdir: Path, mvtec_folder: Path) -> None:
  chosen = experiment_of(name)
  found = experiment.run(chosen, workdir, str(mvtec_folder), categories=['tile'], quick=True)
  assert not [row['error'] for row in found.outcomes.values() if 'error' in row]
  text = tables.markdown(found)
  assert all(
    f'| {label} | 0.' in text or f'| {label} | 1.' in text for label in found.experiment.rows
  )
  assert 'Changed from the paper: data.groups=none, image_size=32, model.width=2' in text
  by_row = any('model.width' in row.overrides for row in found.experiment.rows.values())
  assert ('model.width=2 (unless the row sets it)' in text) == by_row
  if name in WITH_PICTURE:
    picture = workdir / f'{name}.png'
    importlib.import_module(f'experiments.paper.{name}').draw(found, picture)
    with Image.open(picture) as image:
      assert min(image.size) > 100


def test_table_1_names_an_absent_category(workdir: Path, mvtec_folder: Path) -> None:
  found = experiment.run(
    experiment_of('table_1'),
    workdir,
    str(mvtec_folder),
    categories=['tile', 'wood'],
    overrides=['train.checkpoint_every=2'],
    quick=True,
  )
  failed = {cell.category for cell, row in found.outcomes.items() if 'error' in row}
  assert failed == {'wood'}
  text = tables.markdown(found)
  assert re.search(r'\| tile \| \d\.\d+ \| ', text)
  assert '| wood | – |' in text and '| average of all | – |' in text
  assert 'Missing: wood: no ' in text


@pytest.mark.parametrize(
  'name, folder, categories',
  [
    ('table_2', 'dagm', ['Class1']),
    ('table_3', 'kolektor_sdd', []),
    ('table_4', 'cifar10', ['s1-plane']),
  ],
)
def test_runs_on_real_images(name: str, folder: str, categories: list[str], workdir: Path) -> None:
  if not (DATA / folder).exists():
    pytest.skip(f'no {DATA / folder}')
  chosen = experiment_of(name)
  found = experiment.run(chosen, workdir, str(DATA / folder), categories=categories, quick=True)
  (row,) = found.outcomes.values()
  assert 0 < row['last'] < 1


def test_figure_3a_draws_spectra(mvtec_folder: Path, tmp_path: Path) -> None:
  ended = run_module(
    'experiments.paper.figure_3a',
    f'--data_dir={mvtec_folder}',
    '--categories=tile',
    f'--workdir={tmp_path}',
    '--image_size=32',
  )
  assert ended.returncode == 0, ended.stderr
  with Image.open(tmp_path / 'figure_3a.png') as image:
    assert image.width > 200


def test_no_signal_draws_the_stated_number_of_images(tmp_path: Path) -> None:
  """Whether the images have no signal is what the command itself measures."""
  ended = run_module('experiments.no_signal', f'--workdir={tmp_path}', '--quick')
  assert 'best of all epochs on the test set' in ended.stdout, ended.stderr
  assert ended.stdout.count('| mean |') == 2
  counts = {
    folder: len([*(tmp_path / 'images/draw0' / folder).iterdir()])
    for folder in ('train/good', 'test/good', 'test/defect')
  }
  assert [*counts.values()] == [
    no_signal.NUM_TRAIN,
    no_signal.NUM_NORMAL,
    no_signal.NUM_ANOMALOUS,
  ]


def test_a_killed_command_resumes_to_the_same_table(mvtec_folder: Path, tmp_path: Path) -> None:
  def command(workdir: Path) -> list[str]:
    flags = [f'--data_dir={mvtec_folder}', '--categories=tile', '--quick', f'--workdir={workdir}']
    return ['experiments.paper.table_6', *flags]

  def table(workdir: Path) -> str:
    return re.sub(r', \d+ minutes of', '', (workdir / 'table_6.md').read_text())

  assert run_module(*command(tmp_path / 'whole')).returncode == 0
  process = subprocess.Popen([sys.executable, '-m', *command(tmp_path / 'cut')], cwd=REPOSITORY)
  results = tmp_path / 'cut/results.jsonl'
  while not results.exists():  # until one of the two runs is done
    assert process.poll() is None
    time.sleep(0.1)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert run_module(*command(tmp_path / 'cut')).returncode == 0
  assert table(tmp_path / 'cut') == table(tmp_path / 'whole')


@pytest.mark.parametrize(
  'name, flags, message',
  [
    (
      'paper.figure_12',
      ['--categories=wood'],
      'error: there is nothing to draw: no model was trained',
    ),
    ('paper.figure_3a', ['--categories='], 'error: --categories names none'),
    (
      'paper.table_5',
      ['--cluster=local', '--together=2'],
      'error: --cluster makes a job of each run',
    ),
  ],
)
def test_mistakes_end_in_one_line(
  name: str, flags: list[str], message: str, mvtec_folder: Path, tmp_path: Path
) -> None:
  common = [f'--data_dir={mvtec_folder}', f'--workdir={tmp_path}']
  ended = run_module(f'experiments.{name}', *common, *flags)
  assert ended.returncode == 1 and 'Traceback' not in ended.stderr
  assert ended.stderr.strip().splitlines()[-1].startswith(message), ended.stderr


def test_runs_as_submitit_jobs(mvtec_folder: Path, tmp_path: Path) -> None:
  good = resolve(tiny_config(mvtec_folder, train__epochs=1))
  absent = resolve(tiny_config(mvtec_folder, data__category='wood'))
  found = runner.run_all([good, absent], tmp_path, cluster='local')
  assert 0 <= found[runner.name_of(good)]['last'] <= 1
  assert found[runner.name_of(absent)]['error'].startswith("no 'wood' in ")


def test_compare_without_other_models(mvtec_folder: Path, tmp_path: Path) -> None:
  """Tests only our models: the others are not dependencies of the tests."""
  shutil.copytree(mvtec_folder / 'tile', tmp_path / 'data/mvtec_ad/bottle')
  flags = [f'--data_dir={tmp_path / "data"}', '--sets=bottle', '--models=bands,paper,PaDiM']
  flags += [f'--workdir={tmp_path / "runs"}', '--image_size=32', '--quick']
  ended = run_module('experiments.compare', *flags)
  assert ended.returncode == 0, ended.stderr
  number = r'[01]\.\d+'
  cell = f'{number}; {number}; {number}'
  assert re.search(rf'\| bottle \| {cell} \| {cell} \|\n', ended.stdout), ended.stdout
  again = run_module('experiments.compare', *flags)
  assert again.stdout.splitlines()[:-1] == ended.stdout.splitlines()[:-1]  # nothing was run anew
