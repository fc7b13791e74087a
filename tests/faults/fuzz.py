"""Feeds mutated files to every reader: `python -m tests.faults.fuzz --inputs=2000`; takes minutes.

Each file must be read, or refused with an InputError of one line, within 20 seconds. Memory is
limited for all of them together. An input depends only on its number and the seed.
"""

import argparse
import collections
import io
import json
import pickle
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.benchmark.machine import peak_gib
from ocrgan_jax.configs import cifar10, dagm, elpv
from ocrgan_jax.core.checks import read
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.datasets import DATASETS
from ocrgan_jax.data.decoding import decode_mask
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, Example, Examples
from ocrgan_jax.data.framing import Framing, decode_frames
from ocrgan_jax.data.inspection import inspect
from ocrgan_jax.inference.loading import load
from ocrgan_jax.runs import run_folder
from ocrgan_jax.training.train import train
from tests.conftest import smooth_image, tiny_config, write_data_without_signal

SECONDS = 20  # for one input
GIB = 4.0  # by which the memory of the process may grow over all inputs
FORMATS = ('PNG', 'JPEG', 'BMP', 'TIFF', 'GIF', 'WEBP')
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)

Reader = Callable[[bytes], None]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
  """Changes, cuts, repeats, removes or inserts some bytes."""
  data = bytearray(content)
  for _ in range(int(rng.integers(1, 6))):
    place = int(rng.integers(0, len(data) + 1))
    length = int(rng.integers(1, 9))
    kind = rng.integers(0, 6)
    if kind == 0:
      data[place : place + length] = rng.bytes(length)
    elif kind == 1:
      data[place : place + length] = bytes([INTERESTING[int(rng.integers(5))]]) * length
    elif kind == 2:
      del data[place:]
    elif kind == 3:
      data[place:place] = data[place : place + 16 * length]
    elif kind == 4:
      del data[place : place + length]
    else:
      data[place:place] = rng.bytes(length)
  return bytes(data)


def encoded(image: np.ndarray, kind: str) -> bytes:
  """An image file."""
  file = io.BytesIO()
  Image.fromarray(image).save(file, kind)
  return file.getvalue()


def image_reader(folder: Path) -> Reader:
  """Reads a photograph, as `predict` and the preparation of a dataset do."""

  def use(content: bytes) -> None:
    try:
      frames, _ = decode_frames(content, Framing(32), 100.0)
    except ValueError as error:  # the documented error of decoding
      raise InputError(str(error)) from None
    assert frames.shape == (1, 32, 32, 3)

  return use


def mask_reader(folder: Path) -> Reader:
  """Reads a mask together with a valid image."""
  image = folder / 'image.png'
  Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(image)

  def use(content: bytes) -> None:
    mask = folder / 'mask.png'
    mask.write_bytes(content)
    examples = Examples(
      [Example('a', NORMAL, 'good', image)], [Example('b', ANOMALOUS, 'bad', image, mask)]
    )
    inspect(examples, max_megapixels=100.0, skip_damaged=False)
    decode_mask(content, 32)

  return use


def dataset_reader(config: object, source: Path, name: str) -> Reader:
  """Lists a dataset with a mutated file."""
  data = config.data  # type: ignore[attr-defined]
  settings = read(DATASETS[data.dataset].SETTINGS, data)

  def use(content: bytes) -> None:
    (source / name).write_bytes(content)
    DATASETS[data.dataset](str(source), settings, source / 'prepared').list_examples()

  return use


def run_reader(workdir: Path, name: str) -> Reader:
  """Reads a run's folder with a mutated file."""

  def use(content: bytes) -> None:
    before = (workdir / name).read_bytes()
    try:
      (workdir / name).write_bytes(content)
      run_folder.load_config(workdir)
      run_folder.training_set(workdir)
    finally:
      (workdir / name).write_bytes(before)

  return use


def checkpoint_reader(run: Path, folder: Path) -> Reader:
  """Loads a run after mutating a file of its last checkpoint; the input decides which and how."""

  def use(content: bytes) -> None:
    rng = np.random.default_rng([*content])
    workdir = folder / 'run'
    shutil.rmtree(workdir, ignore_errors=True)
    shutil.copytree(run, workdir)
    last = max((workdir / 'checkpoints').iterdir(), key=lambda path: int(path.name))
    files = sorted(path for path in last.rglob('*') if path.is_file())
    path = files[int(rng.integers(len(files)))]
    path.write_bytes(mutate(path.read_bytes(), rng))
    load(workdir)

  return use


def readers(root: Path, rng: np.random.Generator) -> dict[str, tuple[int, list[bytes], Reader]]:
  """Each kind of input: its share of 2,000, valid files to mutate, and their reader."""
  image = smooth_image(rng, 24)
  mask = np.zeros((24, 24), np.uint8)
  mask[8:12] = 255
  for place in ('masks', 'dagm/Class1/Train/Label', 'dagm/Class1/Test/Label', 'elpv/images'):
    (root / place).mkdir(parents=True)
  for half in ('Train', 'Test'):
    for i in range(1, 4):
      (root / f'dagm/Class1/{half}/{i:04}.PNG').write_bytes(encoded(image, 'PNG'))
    rows = ['1', *(f'{i}\t{int(i == 2)}\t{i:04}.PNG\t0\t{i:04}_label.PNG' for i in range(1, 4))]
    (root / f'dagm/Class1/{half}/Label/Labels.txt').write_text('\n'.join(rows))
  cells = '\n'.join(f'images/{i}.png {p} mono' for i, p in enumerate((0.0, 0.0, 1.0, 0.33)))
  for place in ('cifar', 'cifar_tar', 'data'):
    (root / place).mkdir()
  batch = {b'labels': [*range(10)], b'data': rng.integers(0, 256, (10, 3072), dtype=np.uint8)}
  # Only in the archive: data that compresses well is affected most by damage.
  plain = {**batch, b'data': np.zeros((10, 3072), np.uint8)}
  packed = io.BytesIO()
  with tarfile.open(fileobj=packed, mode='w:gz') as archive:
    for name in (*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch'):
      content = pickle.dumps(batch, protocol=2)
      (root / 'cifar' / name).write_bytes(content)
      content = pickle.dumps(plain, protocol=2)
      info = tarfile.TarInfo(f'cifar-10-batches-py/{name}')
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  write_data_without_signal(root / 'data')
  run = root / 'run'
  train(tiny_config(root / 'data', train__batch_size=40), run)
  (root / 'checkpoint').mkdir()
  labels = (root / 'dagm/Class1/Train/Label/Labels.txt').read_bytes()
  return {
    'image': (800, [encoded(image, kind) for kind in FORMATS], image_reader(root)),
    'mask': (200, [encoded(mask, 'PNG'), encoded(mask, 'BMP')], mask_reader(root / 'masks')),
    'labels of DAGM': (
      200,
      [labels],
      dataset_reader(dagm.get_config('Class1'), root / 'dagm', 'Class1/Train/Label/Labels.txt'),
    ),
    'labels of ELPV': (
      200,
      [cells.encode()],
      dataset_reader(elpv.get_config('mono'), root / 'elpv', 'labels.csv'),
    ),
    'batch of CIFAR-10': (
      150,
      [pickle.dumps(batch, protocol=p) for p in (2, 4)],
      dataset_reader(cifar10.get_config('s1-car'), root / 'cifar', 'data_batch_1'),
    ),
    'archive of CIFAR-10': (
      100,
      [packed.getvalue()],
      dataset_reader(cifar10.get_config('s1-car'), root / 'cifar_tar', 'cifar-10-python.tar.gz'),
    ),
    'config.json': (250, [(run / 'config.json').read_bytes()], run_reader(run, 'config.json')),
    'training_set.json': (
      50,
      [(run / 'training_set.json').read_bytes()],
      run_reader(run, 'training_set.json'),
    ),
    'checkpoint': (50, [b'-'], checkpoint_reader(run, root / 'checkpoint')),
  }


def outcome(use: Reader, content: bytes) -> str:
  """Returns 'read', 'refused', or what went wrong."""

  def stop(*_: object) -> None:
    raise TimeoutError

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(SECONDS)
  try:
    use(content)
  except InputError as error:
    return 'refused' if str(error) and '\n' not in str(error) else f'not one line: {error!r}'
  except TimeoutError:
    return f'longer than {SECONDS} seconds'
  except Exception as error:
    return f'{type(error).__name__}: {error}'
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
  return 'read'


def run(inputs: int, seed: int, root: Path) -> tuple[dict[str, collections.Counter], float]:
  """Feeds mutated inputs to all readers.

  Args:
    inputs: number of inputs, shared among the kinds.
    seed: seed of the mutations.
    root: folder for all files.

  Returns:
    Kind → counts of outcomes, and the GiB by which the peak memory grew.
  """
  found: dict[str, collections.Counter] = {}
  of_kinds = readers(root, np.random.default_rng(seed))
  Path('/proc/self/clear_refs').write_text('5')  # resets the peak of memory
  before = peak_gib()
  # Beyond this limit an allocation fails, which is not an InputError.
  size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
  limits = resource.getrlimit(resource.RLIMIT_AS)
  resource.setrlimit(resource.RLIMIT_AS, (size + int(GIB * 2**30), limits[1]))
  for number, (kind, (share, sound, use)) in enumerate(of_kinds.items()):
    found[kind] = collections.Counter()
    for i in range(max(1, round(share * inputs / 2000))):
      rng = np.random.default_rng([seed, number, i])
      content = mutate(sound[i % len(sound)], rng)
      result = outcome(use, content)
      found[kind][result] += 1
      if result not in ('read', 'refused'):
        kept = Path(tempfile.gettempdir(), f'fuzz-{seed}-{number}-{i}')
        kept.write_bytes(content)
        print(f'{kind} {i}: {result[:300]} ({kept})', flush=True)
  resource.setrlimit(resource.RLIMIT_AS, limits)
  return found, peak_gib() - before


def main() -> int:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--inputs', type=int, default=2000)
  parser.add_argument('--seed', type=int, default=0)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    found, grown = run(arguments.inputs, arguments.seed, Path(folder))
  total = good = 0
  for kind, counts in found.items():
    print(f'{kind}: {json.dumps(counts)}')
    total += counts.total()
    good += counts['read'] + counts['refused']
  print(f'{good} of {total} read or refused in one line, {grown:.2f} GiB of memory')
  return int(good < total or grown > GIB)


if __name__ == '__main__':
  sys.exit(main())
