"""Shared fixtures and helpers: tiny datasets in official layouts, and a tiny trained model."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from ocrgan_jax.configs import mvtec
from ocrgan_jax.data.decoding import open_image, resize, to_rgb
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import OCRGAN
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.training.train import train

REPOSITORY = Path(__file__).parent.parent
DATA = Path(os.environ.get('OCRGAN_DATA_DIR', REPOSITORY.parent / 'shared' / 'data'))


def shared_folder(factory: pytest.TempPathFactory) -> Path:
  """The folder that all test processes of this session share."""
  base = factory.getbasetemp()
  return base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base


@pytest.fixture(scope='session', autouse=True)
def quick_compilation(tmp_path_factory: pytest.TempPathFactory) -> None:
  """Compiles without optimizations, and shares compiled programs among all test processes."""
  shared = shared_folder(tmp_path_factory)
  for name, value in (
    ('jax_compilation_cache_dir', str(shared / 'jax_cache')),
    ('jax_compilation_cache_max_size', 2**33),  # only with a limit does JAX lock the cache
    ('jax_persistent_cache_min_compile_time_secs', 0.2),
    ('jax_disable_most_optimizations', True),
  ):
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)
  # A training step compiles in a third of the time. XLA reads them when it first compiles.
  flags = '--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1'
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flags}'
  # The user's cache folder, as commands and configs see it.
  os.environ['XDG_CACHE_HOME'] = str(shared / 'cache')


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
  """A folder that one test process builds while the others wait; nobody may change it."""
  folder = shared_folder(factory) / name
  with FileLock(f'{folder}.lock'):
    if not folder.exists():
      part = folder.with_name(f'{name}.part')
      build(part)
      part.rename(folder)
  return folder


def smooth_image(rng: np.random.Generator, size: int) -> np.ndarray:
  """A random smooth colour image, uint8 [size, size, 3]."""
  small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
  return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def decode_image(content: bytes, size: int) -> np.ndarray:
  """An image file as the paper's networks see it, uint8 [size, size, 3]."""
  return np.asarray(resize(to_rgb(open_image(content)), size))


def write_images(folder: Path, images: list[np.ndarray]) -> None:
  """Writes images as 000.png, 001.png, …"""
  folder.mkdir(parents=True)
  for i, image in enumerate(images):
    Image.fromarray(image).save(folder / f'{i:03}.png')


@pytest.fixture(scope='session')
def mvtec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A small dataset in MVTec AD's layout: category `tile`, defect `scratch`."""
  return built_once(tmp_path_factory, 'mvtec', write_mvtec)


def write_mvtec(root: Path) -> None:
  rng = np.random.default_rng(0)
  scratched = [smooth_image(rng, 40).copy() for _ in range(6)]
  for image in scratched:
    image[18:22] = 255
  write_images(root / 'tile/train/good', [smooth_image(rng, 40) for _ in range(20)])
  write_images(root / 'tile/test/good', [smooth_image(rng, 40) for _ in range(5)])
  write_images(root / 'tile/test/scratch', scratched)
  mask = np.zeros((40, 40), np.uint8)
  mask[18:22] = 255
  write_images(root / 'tile/ground_truth/scratch', [mask] * 6)


def write_data_without_signal(root: Path) -> None:
  """Writes `tile` with normal and 'anomalous' images of one distribution, 100 + 100 to test."""
  rng = np.random.default_rng(1)
  draw = lambda count: [smooth_image(rng, 32) for _ in range(count)]
  write_images(root / 'tile/train/good', draw(40))
  write_images(root / 'tile/test/good', draw(100))
  write_images(root / 'tile/test/defect', draw(100))


def assert_scores_half(workdir: Path) -> None:
  """Asserts that a run on these images has an AUROC of 0.5, within chance."""
  for protocol in ('last', 'validation'):
    metrics = evaluate(workdir, protocol=protocol, pictures=False)
    assert (metrics['num_normal'], metrics['num_anomalous']) == (100, 100)
    # Three standard errors of an AUROC of 0.5, sqrt((n + m + 1) / (12 n m)) by Mann and
    # Whitney. The seed is fixed, so this is not flaky.
    assert abs(metrics['image_auroc'] - 0.5) < 3 * np.sqrt(201 / 120_000)


TINY = {
  'image_size': 32,
  'data.groups': 'none',  # comparing images takes seconds; tests of twins set it
  'model.width': 2,
  'train.epochs': 2,
  'train.batch_size': 8,
  'train.checkpoint_every': 1,
  'train.pictures': False,
  # Adam scales tiny gradients up. With this rate, weights that differ only by rounding (other
  # devices, other programs) stay within a fraction of it; real differences are multiples of it.
  'train.learning_rate': 2e-5,
}


def tiny_config(data_dir: Path | str, **fields: object) -> ml_collections.ConfigDict:
  """The config of a run that takes seconds; `train__epochs=3` sets a nested field."""
  config = mvtec.get_config('tile')
  config.data_dir = str(data_dir)
  changes = {name.replace('__', '.'): value for name, value in fields.items()}
  config.update_from_flattened_dict({**TINY, **changes})
  return config


def tiny_flags() -> list[str]:
  """The settings of `tiny_config` as flags."""
  return [f'--config.{name}={value}' for name, value in TINY.items()]


@functools.cache
def tiny_model(**fields: object) -> OCRGAN:
  """A tiny model's description; equal fields give the same object, which is compiled once."""
  return build_model(tiny_config('', **fields))


@pytest.fixture(scope='session')
def trained(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The folder of a tiny finished run, of this test process alone."""
  config = tiny_config(mvtec_folder, train__keep_checkpoints=True)
  run = built_once(tmp_path_factory, 'trained', lambda workdir: train(config, workdir))
  return Path(shutil.copytree(run, tmp_path_factory.mktemp('runs') / 'tile'))


def run_python(
  *arguments: str, cwd: Path = REPOSITORY, **environment: str
) -> subprocess.CompletedProcess[str]:
  """Runs `python arguments` as a user would, from the repository."""
  command, variables = [sys.executable, *arguments], {**os.environ, **environment}
  return subprocess.run(
    command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
  )


def run_module(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
  """Runs `python -m module arguments` likewise."""
  return run_python('-m', module, *arguments)


def with_devices(count: int) -> dict[str, str]:
  """Environment variables for so many simulated devices."""
  flags = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count={count}'
  return {'XLA_FLAGS': flags}
