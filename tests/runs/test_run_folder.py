import json
import re
import shutil
from pathlib import Path

import orbax.checkpoint as ocp
import pytest

from ocrgan_jax.core.errors import Damaged, InputError
from ocrgan_jax.inference.export import export
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.predict_files import predict_files
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.runs.run_folder import describe_change, load_config
from ocrgan_jax.serving.run_server import serve
from ocrgan_jax.training.recalibration import calibrate
from ocrgan_jax.training.train import train
from tests.conftest import tiny_config


def test_other_configs_and_foreign_folders_are_left_alone(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  before = sorted(trained.rglob('*'))
  with pytest.raises(InputError, match=r'another config \(model.discriminator_width is 2'):
    train(tiny_config(mvtec_folder, model__width=4), trained)
  assert sorted(trained.rglob('*')) == before
  (tmp_path / 'letter.txt').write_text('mine')
  with pytest.raises(InputError, match='is not empty and holds no run'):
    train(tiny_config(mvtec_folder), tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ['letter.txt']


def test_a_finished_run_is_not_changed(
  mvtec_folder: Path, trained: Path, capsys: pytest.CaptureFixture
) -> None:
  before = {path: path.stat().st_mtime_ns for path in trained.glob('*.json*')}
  state = train(tiny_config(mvtec_folder, train__epochs=1), trained)
  assert 'nothing left to train' in capsys.readouterr().err and int(state.step) == 5
  assert {path: path.stat().st_mtime_ns for path in trained.glob('*.json*')} == before


def test_a_run_resumes_only_with_its_own_images(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  # The same images in another folder are accepted, other images are not.
  shutil.copytree(mvtec_folder, tmp_path / 'data')
  train(tiny_config(tmp_path / 'data'), trained)
  (tmp_path / 'data/tile/train/good/003.png').unlink()
  with pytest.raises(
    InputError, match=r'have changed since the run .* started \(1 of 20 then are gone, 0'
  ):
    train(tiny_config(tmp_path / 'data'), trained)
  # A training image that has moved to the test set stops evaluation.
  moved = mvtec_folder / 'tile/train/good/003.png'
  shutil.copy(moved, tmp_path / 'data/tile/test/good/moved.png')
  with pytest.raises(InputError, match=r'1 test images \(first: test/good/moved.png\)'):
    evaluate(trained, data_dir=str(tmp_path / 'data'), pictures=False)


def test_renamed_images_and_other_images_are_told_apart() -> None:
  assert describe_change(['a', 'b', 'c'], ['b', 'a', 'c']).startswith(
    'the same 3 are in another order, as after renaming'
  )
  changed = '1 of 3 then are gone, 2 of 4 now are new'
  assert describe_change(['a', 'b', 'b'], ['x', 'b', 'a', 'y']) == changed


@pytest.mark.parametrize('below', ['', 'bottle'])
def test_a_folder_of_several_runs_names_the_first(
  below: str, trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  for seed in (0, 1):
    folder = tmp_path / below / f'seed{seed}'
    folder.mkdir(parents=True)
    for name in ('config.json', 'training_set.json'):
      shutil.copy(trained / name, folder)
  image = str(mvtec_folder / 'tile/test/good/000.png')
  for use in (
    lambda: load(tmp_path),
    lambda: predict_files(tmp_path, [image], tmp_path / 'scores.csv'),
    lambda: serve(tmp_path, host='127.0.0.1', port=0, max_mib=1),
    lambda: export(tmp_path, tmp_path / 'out'),
    lambda: calibrate(tmp_path, {'threshold': 1.0}),
    lambda: calibrate(tmp_path, {}),
    lambda: evaluate(tmp_path),
  ):
    with pytest.raises(InputError) as refused:
      use()
    assert str(refused.value) == (
      f'{tmp_path} holds 2 runs, not one; give the folder of one: {tmp_path / below / "seed0"}'
    )


def test_a_checkpoint_of_the_papers_recipe_has_the_same_parts_as_in_earlier_versions(
  trained: Path,
) -> None:
  """Otherwise orbax could not restore checkpoints of earlier versions."""
  step = max(int(path.name) for path in (trained / 'checkpoints').iterdir())
  state = ocp.StandardCheckpointer().restore(trained / f'checkpoints/{step}/state')
  assert set(state) == {'step', 'key', 'generator', 'discriminator'}
  for network in ('generator', 'discriminator'):
    assert set(state[network]) == {'params', 'batch_stats', 'opt_state'}


def test_a_run_of_an_earlier_version_is_read_with_todays_defaults(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  shutil.copytree(trained, tmp_path / 'run')
  path = tmp_path / 'run/config.json'
  config = json.loads(path.read_text())
  del config['score']['map_top'], config['train']['log_every']
  path.write_text(json.dumps(config))
  assert load(tmp_path / 'run').config.score.map_top == 200
  # It also resumes.
  assert int(train(tiny_config(mvtec_folder), tmp_path / 'run').step) == 5
  config['score']['mapp'] = 50
  path.write_text(json.dumps(config))
  with pytest.raises(InputError, match=r"config.json has an unknown field 'score.mapp'"):
    load(tmp_path / 'run')


# A setting that is gone → its value that did nothing, and one that did something.
GONE = {
  'forgery.validation': ('same', 'unseen'),
  'forgery.copies': (1, 3),
  'train.generator_input': ('normal', 'forged'),
  'train.warmup': (0, 10),
  'train.decay': ('none', 'cosine'),
  'train.clip': (0.0, 1.0),
}


def write_config_with(fields: dict[str, object], run: Path, folder: Path) -> None:
  config = json.loads((run / 'config.json').read_text())
  for name, value in fields.items():
    section, _, field = name.partition('.')
    config.setdefault(section, {})[field] = value
  (folder / 'config.json').write_text(json.dumps(config))


def test_settings_that_are_gone_are_ignored_where_they_did_nothing(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """The config.json of version 0.2 has all of them."""
  workdir = Path(shutil.copytree(trained, tmp_path / 'run'))
  resting = {name: nothing for name, (nothing, _) in GONE.items()}
  write_config_with({**resting, 'train.track': 'wandb'}, trained, workdir)
  assert load_config(workdir) == load_config(trained)
  assert load(workdir).step == 5
  assert int(train(tiny_config(mvtec_folder), workdir).step) == 5  # no "another config"


def test_a_run_that_used_a_setting_that_is_gone_is_refused_in_one_line(
  trained: Path, tmp_path: Path
) -> None:
  for name, (_, value) in GONE.items():
    write_config_with({name: value}, trained, tmp_path)
    message = f'config.json: {name} is {value!r}, and this version has no such setting'
    with pytest.raises(InputError, match=re.escape(message)) as caught:
      load_config(tmp_path)
    assert '\n' not in str(caught.value)
  write_config_with({'density.context': 40}, trained, tmp_path)  # version 0.1
  with pytest.raises(InputError, match="unknown field 'density.context': another version"):
    load_config(tmp_path)


@pytest.mark.parametrize(
  'name, content, told',
  [
    ('config.json', '{"seed": 0, "tra', 'config.json is damaged: .*; restore it, or use another'),
    ('config.json', '[]', 'config.json is damaged: it contains no settings'),
    ('config.json', '{"seed": "nil"}', 'config.json is damaged: .*; restore it, or use another'),
    ('config.json', '\x00', 'config.json is damaged'),
    ('training_set.json', '["a", ', 'training_set.json is damaged'),
    ('training_set.json', '{"a": 1}', 'training_set.json is damaged: it is not a list of digests'),
  ],
)
def test_damaged_files_of_a_run_are_named_in_one_line(
  name: str, content: str, told: str, mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  shutil.copytree(trained, tmp_path / 'run')
  (tmp_path / 'run' / name).write_text(content)
  for use in (evaluate, lambda workdir: train(tiny_config(mvtec_folder), workdir)):
    with pytest.raises(Damaged, match=told) as caught:
      use(tmp_path / 'run')
    assert '\n' not in str(caught.value)


def test_an_image_copied_from_training_into_the_test_set_stops_the_evaluation(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  shutil.copytree(mvtec_folder, tmp_path / 'data')
  copied = tmp_path / 'data/tile/test/good/copied.png'
  shutil.copy(mvtec_folder / 'tile/train/good/003.png', copied)
  with pytest.raises(InputError, match=r'1 test images \(first: test/good/copied.png\)'):
    evaluate(trained, data_dir=str(tmp_path / 'data'), pictures=False)
  # If it was there from the start, the run warns and counts it.
  train(tiny_config(tmp_path / 'data', train__epochs=1), tmp_path / 'run')
  assert evaluate(tmp_path / 'run', pictures=False)['num_test_images_trained_on'] == 1


def test_a_run_from_before_there_were_groups_has_none(trained: Path, tmp_path: Path) -> None:
  config = json.loads((trained / 'config.json').read_text())
  config['data']['groups'] = 'twins'
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(config))
  assert load_config(tmp_path).data.groups == 'twins'
  del config['data']['groups']
  path.write_text(json.dumps(config))
  assert load_config(tmp_path).data.groups == 'none'
