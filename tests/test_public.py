"""The public functions of `ocrgan_jax`, and what importing the package costs."""

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ocrgan_jax
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.prediction import Prediction
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.state import State
from tests.conftest import REPOSITORY, smooth_image, tiny_config, write_images

FUNCTIONS = ('train', 'evaluate', 'load', 'fit')


def run_python(program: str) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, '-c', program]
  return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_importing_the_package_imports_nothing_heavy() -> None:
  program = """
import sys
before = set(sys.modules)
import ocrgan_jax
print(ocrgan_jax.__version__)
dir(ocrgan_jax)
print({name.partition('.')[0] for name in set(sys.modules) - before})
"""
  done = run_python(program)
  assert done.returncode == 0, done.stderr
  version, imported = done.stdout.splitlines()
  assert version == ocrgan_jax.__version__
  heavy = {'jax', 'flax', 'numpy', 'ml_collections', 'absl', 'orbax', 'grain', 'PIL'}
  assert 'ocrgan_jax' in imported and not [name for name in heavy if f"'{name}'" in imported]


def test_dir_lists_the_functions() -> None:
  assert {*FUNCTIONS, '__version__'} <= {*dir(ocrgan_jax)}
  assert sorted(ocrgan_jax.__all__) == sorted(FUNCTIONS)
  for name in FUNCTIONS:
    function = getattr(ocrgan_jax, name)
    assert inspect.isfunction(function) and function.__name__ == name and function.__doc__
  with pytest.raises(AttributeError, match="module 'ocrgan_jax' has no attribute 'trane'"):
    ocrgan_jax.trane  # noqa: B018


@pytest.mark.parametrize('name', ['train', 'evaluate'])
def test_importing_a_command_is_refused_and_keeps_the_function(name: str) -> None:
  """An imported submodule would become the package's attribute of that name."""
  program = f"""
import ocrgan_jax
try:
  import ocrgan_jax.{name}
except ImportError as error:
  print(error)
print(type(ocrgan_jax.{name}).__name__)
from ocrgan_jax import {name}
print({name}.__module__)
"""
  done = run_python(program)
  assert done.returncode == 0, done.stderr
  message, kind, module = done.stdout.splitlines()
  assert f'this module is a command; in Python, use `from ocrgan_jax import {name}`' in message
  assert kind == 'function' and module.startswith('ocrgan_jax.')
  assert run_python(f'from ocrgan_jax.{name} import main').returncode == 1


def test_train_evaluate_and_load(
  mvtec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv('HOME', str(tmp_path))
  state = ocrgan_jax.train(tiny_config(mvtec_folder, train__epochs=1), '~/run')
  assert isinstance(state, State) and int(state.step) == 3
  metrics = ocrgan_jax.evaluate('~/run', output='~/out', pictures=False)
  assert metrics == json.loads((tmp_path / 'out/metrics.json').read_text())
  assert 0 <= metrics['image_auroc'] <= 1
  scorer = ocrgan_jax.load(Path('~/run'))
  assert isinstance(scorer, Scorer) and int(scorer.state.step) == 3
  assert scorer.score(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2,)
  shutil.copy(mvtec_folder / 'tile/test/good/000.png', tmp_path)
  assert not scorer.score_files(['~/000.png'])[0].error


@pytest.mark.slow
def test_fit_makes_a_model_of_a_folder_of_photographs(tmp_path: Path) -> None:
  """At the recipe's 256 pixels, without changing any setting."""
  rng = np.random.default_rng(0)
  sound = smooth_image(rng, 48) // 2
  noisy = lambda: sound + rng.integers(0, 20, sound.shape, dtype=np.uint8)
  write_images(tmp_path / 'photographs', [noisy() for _ in range(20)])
  scratched = noisy()
  scratched[20:24] = 255
  write_images(tmp_path / 'new', [noisy(), scratched])
  scorer = ocrgan_jax.fit(tmp_path / 'photographs', tmp_path / 'run')
  assert isinstance(scorer, Scorer)
  scores = scorer.score(np.zeros((3, 256, 256, 3), np.uint8))
  assert scores.shape == (3,) and scores.dtype == np.float32
  found = scorer.score_files(sorted((tmp_path / 'new').iterdir()))
  assert all(isinstance(p, Prediction) for p in found)
  assert found[1].decision == 'anomalous' and found[1].score > 2 * max(found[0].score, 1)
  # The run's folder is an ordinary run.
  again = ocrgan_jax.load(tmp_path / 'run')
  assert again.config.data.dataset == 'folder' and again.calibration.num_images == 20


def test_fit_names_an_unknown_recipe_in_one_line(tmp_path: Path) -> None:
  with pytest.raises(InputError) as caught:
    ocrgan_jax.fit(tmp_path, tmp_path / 'run', recipe='restor')
  assert str(caught.value) == ("unknown recipe 'restor': use one of paper, release, bands")
  assert not (tmp_path / 'run').exists()
