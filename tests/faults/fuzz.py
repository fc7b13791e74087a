"""Feeds mutated files to every reader: `python -m tests.faults.fuzz --inputs=2000`; takes minutes.

Each file must be read, or refused with an InputError of one line, within 20 seconds and 2 GiB of
memory for all of them. An input depends only on its number and the seed.
"""

import argparse
import collections
import pickle
import resource
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

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
GIB = 2  # beyond it an allocation fails, which is not an InputError
FORMATS = ('png', 'jpeg', 'bmp', 'tiff', 'gif', 'webp')
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)

# The files of a kind, one of which is mutated, and what reads it.
Kind = tuple[list[Path], Callable[[Path], object]]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
  """Replaces, removes, inserts or repeats some bytes, or cuts the rest off."""
  data = bytearray(content)
  for _ in range(int(rng.integers(1, 6))):
    place, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 9))
    same = bytes([INTERESTING[int(rng.integers(5))]]) * length
    repeated = bytes(data[place : place + 16 * length])
    new = (rng.bytes(length), same, repeated, b'')[int(rng.integers(4))]
    end = (place, place + length, len(data))[int(rng.choice(3, p=(0.3, 0.6, 0.1)))]
    data[place:end] = new
  return bytes(data)


def read_image(path: Path) -> None:
  """Reads a photograph, as `predict` and the preparation of a dataset do."""
  try:
    frames, _ = decode_frames(path.read_bytes(), Framing(32), 100.0)
  except ValueError as error:  # the documented error of decoding
    raise InputError(str(error)) from None
  assert frames.shape == (1, 32, 32, 3)


def read_mask(path: Path) -> None:
  """Reads a mask together with an image that is sound."""
  image = path.with_name('image.png')
  sound = Example('a', NORMAL, 'good', image)
  defective = Example('b', ANOMALOUS, 'bad', image, path)
  inspect(Examples([sound], [defective]), max_megapixels=100.0, skip_damaged=False)
  decode_mask(path.read_bytes(), 32)


def dataset(config: object, folder: Path, file: str) -> Kind:
  """A file of a dataset that is listed from it."""
  data = config.data  # type: ignore[attr-defined]
  chosen = DATASETS[data.dataset]
  listed = chosen(str(folder), read(chosen.SETTINGS, data), folder / 'prepared')
  return [folder / file], lambda path: listed.list_examples()


def make_kinds(root: Path) -> dict[str, Kind]:
  """Writes valid files of each kind."""
  rng = np.random.default_rng(0)
  image, mask = Image.fromarray(smooth_image(rng, 24)), np.zeros((24, 24), np.uint8)
  mask[8:12] = 255
  images = [root / f'image.{kind}' for kind in FORMATS]
  masks = [root / 'mask.png', root / 'mask.bmp']
  for path in images:
    image.save(path)
  for path in masks:
    Image.fromarray(mask).save(path)

  rows = [f'{i}\t{int(i == 2)}\t{i:04}.PNG\t0\t{i:04}_label.PNG' for i in range(1, 4)]
  for half in ('Train', 'Test'):
    folder = root / f'dagm/Class1/{half}'
    (folder / 'Label').mkdir(parents=True)
    (folder / 'Label/Labels.txt').write_text('\n'.join(['1', *rows]))
    for i in range(1, 4):
      image.save(folder / f'{i:04}.PNG')
  (root / 'elpv/images').mkdir(parents=True)
  cells = [f'images/{i}.png {p} mono' for i, p in enumerate((0.0, 0.0, 1.0, 0.33))]
  (root / 'elpv/labels.csv').write_text('\n'.join(cells))

  batches = [*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch']
  pixels = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
  for folder, own in ((root / 'cifar', pixels), (root / 'cifar-10-batches-py', pixels * 0)):
    folder.mkdir()
    for name in batches:
      batch = {b'labels': [*range(10)], b'data': own}
      (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
  (root / 'packed').mkdir()
  with tarfile.open(root / 'packed/cifar-10-python.tar.gz', 'w:gz') as archive:
    archive.add(folder, folder.name)  # all 0: damage spreads furthest in what compresses well

  write_data_without_signal(root / 'data')
  run = root / 'run'
  train(tiny_config(root / 'data', train__batch_size=40), run)
  last = max((run / 'checkpoints').iterdir(), key=lambda path: int(path.name))
  read_run = lambda path: (run_folder.load_config(run), run_folder.training_set(run))
  return {
    'image': (images, read_image),
    'mask': (masks, read_mask),
    'labels of DAGM': dataset(
      dagm.get_config('Class1'), root / 'dagm', 'Class1/Train/Label/Labels.txt'
    ),
    'labels of ELPV': dataset(elpv.get_config('mono'), root / 'elpv', 'labels.csv'),
    'batch of CIFAR-10': dataset(cifar10.get_config('s1-car'), root / 'cifar', batches[0]),
    'archive of CIFAR-10': dataset(
      cifar10.get_config('s1-car'), root / 'packed', 'cifar-10-python.tar.gz'
    ),
    'files of a run': ([run / 'config.json', run / 'training_set.json'], read_run),
    'checkpoint': (sorted(filter(Path.is_file, last.rglob('*'))), lambda path: load(run)),
  }


def outcome(use: Callable[[Path], object], path: Path) -> str:
  """Returns 'read', 'refused', or what went wrong."""

  def stop(*_: object) -> None:
    raise TimeoutError(f'longer than {SECONDS} seconds')

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(SECONDS)
  try:
    use(path)
  except InputError as error:
    return 'refused' if str(error) and '\n' not in str(error) else f'not one line: {error!r}'
  except Exception as error:
    return f'{type(error).__name__}: {error}'
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
  return 'read'


def run(inputs: int, seed: int, root: Path) -> dict[str, collections.Counter[str]]:
  """Feeds mutated files to all readers.

  Args:
    inputs: number of inputs, about, shared equally among the kinds.
    seed: seed of the mutations.
    root: folder for all files.

  Returns:
    Kind → counts of outcomes.
  """
  found = {}
  kinds = make_kinds(root)
  size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
  limits = resource.getrlimit(resource.RLIMIT_AS)
  resource.setrlimit(resource.RLIMIT_AS, (size + GIB * 2**30, limits[1]))
  for number, (kind, (paths, use)) in enumerate(kinds.items()):
    outcomes = []
    for i in range(-(-inputs // len(kinds))):
      path = paths[i % len(paths)]
      valid = path.read_bytes()
      if not i:  # else nothing would be learned from it
        assert outcome(use, path) == 'read', kind
      path.write_bytes(mutate(valid, np.random.default_rng([seed, number, i])))
      outcomes.append(outcome(use, path))
      if outcomes[-1] not in ('read', 'refused'):
        kept = Path(tempfile.gettempdir(), f'fuzz-{seed}-{number}-{i}')
        kept.write_bytes(path.read_bytes())
        print(f'{kind} {i}: {outcomes[-1][:300]} ({kept})', flush=True)
      path.write_bytes(valid)
    found[kind] = collections.Counter(outcomes)
  resource.setrlimit(resource.RLIMIT_AS, limits)
  return found


def main() -> int:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--inputs', type=int, default=2000)
  parser.add_argument('--seed', type=int, default=0)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    found = run(arguments.inputs, arguments.seed, Path(folder))
  total = sum(found.values(), collections.Counter())
  for kind, counts in {**found, 'all': total}.items():
    print(f'{kind}: {dict(counts)}')
  return int({*total} != {'read', 'refused'})


if __name__ == '__main__':
  sys.exit(main())
