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
from ocrgan_jax.core.errors import InputError
from tests.conftest import DATA, REPOSITORY, run_module, tiny_config

pytestmark = pytest.mark.slow

FIGURES = [f'figure_{number}' for number in range(7, 13)]
# Of these only the row of the whole model, which the others share: compiling takes the time.
ROWS = {
  'table_7': 'L_con + L_adv + L_lat',
  'open_choices': "rate 2e-3, decay 1e-4: the paper's",
  'figure_7': 'λ_con = 50',
  'figure_9': '(c) with FD and CS',
  'figure_11': 'width 2',
  'figure_12': '(c) with FD and CS',
}


@pytest.fixture(scope='module')
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """One folder for all experiments, so that the runs they share are run once."""
  return tmp_path_factory.mktemp('experiments')


def experiment_of(name: str) -> Experiment:
  return importlib.import_module(f'experiments.paper.{name}').EXPERIMENT


@pytest.mark.parametrize('name', ['table_5', 'table_6', 'table_7', 'open_choices', *FIGURES])
def test_runs_on_a_small_mvtec(name: str, workdir: Path, mvtec_folder: Path) -> None:
  chosen = experiment_of(name)
  if name in ROWS:
    chosen = chosen._replace(rows={ROWS[name]: chosen.rows[ROWS[name]]})
  found = experiment.run(chosen, workdir, str(mvtec_folder), categories=['tile'], quick=True)
  assert not [row['error'] for row in found.outcomes.values() if 'error' in row]
  text = tables.markdown(found)
  assert all(re.search(rf'\| {re.escape(row)} \| [01]\.', text) for row in found.experiment.rows)
  assert '| best trivial score | `bands` |' in text
  assert all(0 <= row[tables.BANDS] <= 1 for row in found.outcomes.values())
  assert 'Changed from the paper: data.groups=none, image_size=32, model.width=2' in text
  by_row = any('model.width' in row.overrides for row in found.experiment.rows.values())
  assert ('model.width=2 (unless the row sets it)' in text) == by_row
  if name in FIGURES:
    picture = workdir / f'{name}.png'
    importlib.import_module(f'experiments.paper.{name}').draw(found, picture)
    with Image.open(picture) as image:
      assert min(image.size) > 100


def test_a_killed_command_resumes_to_the_same_table(
  workdir: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  flags = [f'--data_dir={mvtec_folder}', '--categories=tile', '--quick', f'--workdir={tmp_path}']
  process = subprocess.Popen(
    [sys.executable, '-m', 'experiments.paper.table_6', *flags], cwd=REPOSITORY
  )
  while not (tmp_path / 'results.jsonl').exists():  # until one of the two runs is done
    assert process.poll() is None
    time.sleep(0.1)
  process.send_signal(signal.SIGKILL)
  process.wait()
  ended = run_module('experiments.paper.table_6', *flags)
  assert ended.returncode == 0, ended.stderr
  whole = experiment.run(
    experiment_of('table_6'), workdir, str(mvtec_folder), categories=['tile'], quick=True
  )
  without_time = lambda text: re.sub(r', \d+ minutes of', '', text)
  text = (tmp_path / 'table_6.md').read_text()
  assert without_time(text) == without_time(tables.markdown(whole))
  assert (tmp_path / 'table_6.csv').read_text() == tables.table_csv(whole)


def test_table_1_names_an_absent_category(workdir: Path, mvtec_folder: Path) -> None:
  found = experiment.run(
    experiment_of('table_1'), workdir, str(mvtec_folder), categories=['tile', 'wood'], quick=True
  )
  text = tables.markdown(found)
  assert re.search(r'\| tile \| \d\.\d+ \| ', text)
  assert '| wood | – |' in text and '| average of all | – |' in text
  assert 'Missing: wood, seed 0: no ' in text


@pytest.mark.parametrize(
  'case', ['table_2 dagm Class1', 'table_3 kolektor_sdd', 'table_4 cifar10 s1-plane']
)
def test_runs_on_real_images(case: str, workdir: Path) -> None:
  name, folder, *categories = case.split()
  if not (DATA / folder).exists():
    pytest.skip(f'no {DATA / folder}')
  flags = {'categories': categories, 'oracle': False, 'quick': True}
  found = experiment.run(experiment_of(name), workdir, str(DATA / folder), **flags)
  (row,) = found.outcomes.values()
  assert 0 < row['last'] < 1


def test_figure_3a_draws_spectra(mvtec_folder: Path, tmp_path: Path) -> None:
  command = ['experiments.paper.figure_3a', f'--data_dir={mvtec_folder}', f'--workdir={tmp_path}']
  ended = run_module(*command, '--categories=tile', '--image_size=32')
  assert ended.returncode == 0, ended.stderr
  with Image.open(tmp_path / 'figure_3a.png') as image:
    assert image.width > 200
  ended = run_module(*command, '--categories=')
  assert (ended.returncode, ended.stderr) == (1, 'error: --categories names none\n')


def test_a_figure_without_a_model_says_so(mvtec_folder: Path, tmp_path: Path) -> None:
  chosen = experiment_of('figure_12')
  found = experiment.run(chosen, tmp_path, str(mvtec_folder), categories=['wood'], quick=True)
  draw = importlib.import_module('experiments.paper.figure_12').draw
  with pytest.raises(InputError, match='there is nothing to draw: no model was trained'):
    draw(found, tmp_path / 'figure_12.png')


def test_no_signal_draws_the_stated_number_of_images(tmp_path: Path) -> None:
  ended = run_module('experiments.no_signal', f'--workdir={tmp_path}', '--quick')
  assert 'best of all epochs on the test set' in ended.stdout, ended.stderr
  assert ended.stdout.count('| mean |') == 2
  for folder, count in no_signal.COUNTS.items():
    assert len([*(tmp_path / 'images/draw0' / folder).iterdir()]) == count


def test_runs_as_submitit_jobs(mvtec_folder: Path, tmp_path: Path) -> None:
  good = tiny_config(mvtec_folder, train__epochs=1)
  absent = tiny_config(mvtec_folder, data__category='wood')
  found = runner.run_all([good, absent], tmp_path, cluster='local')
  assert 0 <= found[runner.name_of(good)]['last'] <= 1
  assert found[runner.name_of(absent)]['error'].startswith("no 'wood' in ")


def test_compare_reports_a_model_that_cannot_run(mvtec_folder: Path, tmp_path: Path) -> None:
  """The models themselves need packages that the tests do not."""
  shutil.copytree(mvtec_folder / 'tile', tmp_path / 'data/mvtec_ad/bottle')
  flags = [f'--data_dir={tmp_path / "data"}', f'--workdir={tmp_path / "runs"}', '--image_size=32']
  command = ['experiments.compare', *flags, '--sets=bottle', '--models=PaDiM']
  ended = run_module(*command, f'--python={sys.executable}')
  assert ended.returncode == 1 and '| bottle | –; –; – |' in ended.stdout, ended.stderr
  assert 'bottle, PaDiM: ended with status 1\n' in ended.stdout
  ended = run_module(*command, '--python=none')
  assert ended.stderr == 'error: --python: there is no none; --help says how to create it\n'
