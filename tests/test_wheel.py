import functools
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, run_python

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The wheel of this package, built from a copy, because the build writes to its folder."""
  copy, built = tmp_path_factory.mktemp('copy'), tmp_path_factory.mktemp('wheel')
  for name in ('ocrgan_jax', 'configs'):
    shutil.copytree(REPOSITORY / name, copy / name, symlinks=True)
  for name in ('pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(REPOSITORY / name, copy)
  options = ['--no-deps', '--no-build-isolation', '--no-index', '--quiet']
  done = run_python('-m', 'pip', 'wheel', *options, f'--wheel-dir={built}', str(copy))
  assert done.returncode == 0, done.stderr
  (path,) = built.glob('*.whl')
  return path


def test_the_wheel_has_the_configs_once(wheel: Path) -> None:
  names = zipfile.ZipFile(wheel).namelist()
  configs = [name for name in names if name.endswith('mvtec.py')]
  assert configs == ['ocrgan_jax/configs/mvtec.py']
  assert 'ocrgan_jax/reports/templates/report.html.jinja' in names
  assert not [name for name in names if name.startswith(('tests', 'configs'))]


def test_the_installed_wheel_trains_by_a_configs_name(
  wheel: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  site, empty = tmp_path / 'site', tmp_path / 'empty'
  options = ['--quiet', '--no-deps', '--no-index', f'--target={site}']
  done = run_python('-m', 'pip', 'install', *options, str(wheel))
  assert done.returncode == 0, done.stderr
  empty.mkdir()
  ocrgan = functools.partial(run_python, str(site / 'bin/ocrgan'), cwd=empty, PYTHONPATH=str(site))
  fields = [f'--config.data_dir={mvtec_folder}', '--config.image_size=32']
  trained = ocrgan('train', '--config=mvtec:tile,bands', '--workdir=run', *fields)
  assert trained.returncode == 0, trained.stderr
  done = ocrgan('predict', '--workdir=run', str(mvtec_folder / 'tile/test'))
  assert done.returncode == 0 and '11 images' in done.stdout, done.stderr
  assert {path.name for path in empty.iterdir()} == {'run', 'scores.csv'}
  mistake = ocrgan('train', '--config=mvtek', '--workdir=run')
  assert mistake.returncode == 1 and 'the named configs are cifar10, ' in mistake.stderr
  unknown = ocrgan('trane')
  assert (
    unknown.returncode == 1 and "no command 'trane'; the commands are data, train" in unknown.stderr
  )
