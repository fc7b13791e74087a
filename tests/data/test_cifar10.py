"""CIFAR-10 in each of its forms."""

import io
import pickle
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.data.datasets.cifar10 import CLASSES
from tests.data.files import kinds, prepare, refuses

CIFAR_LABELS = list(range(10)) * 2  # two images a class in each batch


def cifar_pixels(batch: int) -> np.ndarray:
  return np.random.default_rng(batch).integers(0, 256, (20, 3072), dtype=np.uint8)


def cifar_image(batch: int, row: int) -> Image.Image:
  pixels = cifar_pixels(batch)[row].reshape(3, 32, 32).transpose(1, 2, 0)
  return Image.fromarray(np.ascontiguousarray(pixels))


def python_batches() -> dict[str, bytes]:
  names = [*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch']
  return {
    f'cifar-10-batches-py/{name}': pickled(labels=CIFAR_LABELS, data=cifar_pixels(i))
    for i, name in enumerate(names)
  }


def pickled(**fields: object) -> bytes:
  return pickle.dumps({name.encode(): value for name, value in fields.items()}, protocol=2)


def python2_batches() -> dict[str, bytes]:
  """As the official ones: protocol 2 of Python 2, whose strings are bytes."""
  string = lambda text: b'T' + struct.pack('<I', len(text)) + text
  labels = b''.join(b'K' + bytes([label]) for label in CIFAR_LABELS)
  return {
    name: b'\x80\x02}(%s](%se%scnumpy.core.multiarray\n_reconstruct\n(K\x00%stRu.'
    % (string(b'labels'), labels, string(b'data'), string(cifar_pixels(i).tobytes()))
    for i, name in enumerate(python_batches())
  }


def binary_batches() -> dict[str, bytes]:
  names = [*(f'data_batch_{i}.bin' for i in range(1, 6)), 'test_batch.bin']
  labels = np.array(CIFAR_LABELS, np.uint8)[:, None]
  return {
    f'cifar-10-batches-bin/{name}': np.hstack([labels, cifar_pixels(i)]).tobytes()
    for i, name in enumerate(names)
  }


def image_tree() -> dict[str, bytes]:
  files = {}
  for batch in range(6):
    for row, label in enumerate(CIFAR_LABELS):
      file = io.BytesIO()
      cifar_image(batch, row).save(file, 'PNG')
      split = 'test' if batch == 5 else 'train'
      files[f'{split}/{CLASSES[label]}/{batch}-{row}.png'] = file.getvalue()
  return files


def write_files(folder: Path, files: dict[str, bytes]) -> None:
  for name, content in files.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def write_archive(
  path: Path, files: dict[str, bytes], links: Iterable[tuple[str, str]] = ()
) -> None:
  with tarfile.open(path, 'w:gz') as archive:
    for name, target in links:
      info = tarfile.TarInfo(name)
      info.type, info.linkname = tarfile.SYMTYPE, target
      archive.addfile(info)
    for name, content in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('files', [python_batches, python2_batches, binary_batches, image_tree])
def test_cifar10_in_each_form(files, packed: bool, tmp_path: Path) -> None:
  if packed:
    links = (('a', 'b'), ('b', 'a'), ('c', '/etc/passwd'), ('data_batch_1', 'gone'))  # are skipped
    write_archive(tmp_path / 'cifar-10.tar.gz', files(), links)
  else:
    write_files(tmp_path, files())
  one = prepare('cifar10:s1-car', tmp_path)
  assert kinds(one.train) == [('automobile', 0)] * 10 and len(one.test.names) == 20
  assert one.test.labels.sum() == 18  # anomalous: the other classes
  with Image.open(io.BytesIO(one.train.records[0]['image'])) as image:
    np.testing.assert_array_equal(image, cifar_image(0, 1))
  two = prepare('cifar10:s2-car', tmp_path)
  assert len(two.train.names) == 90 and len(two.test.names) == 18 + 12
  assert two.test.labels.sum() == 12 and 'automobile' not in two.train.defect_types


def test_cifar10_mistakes(tmp_path: Path) -> None:
  refuses('no CIFAR-10 in', 'cifar10:s1-car', tmp_path)
  write_files(tmp_path / 'some', python_batches())
  refuses('no CIFAR-10 protocol .s3-car.', 'cifar10:s3-car', tmp_path / 'some')
  (tmp_path / 'some/cifar-10-batches-py/data_batch_3').unlink()
  refuses('lacks data_batch_3; download it again', 'cifar10:s1-car', tmp_path / 'some')
  (tmp_path / 'cifar-10-python.tar.gz').write_bytes(b'cut short')
  refuses(r'cannot read .*cifar-10-python.tar.gz', 'cifar10:s1-car', tmp_path)


class Hostile:
  """Unpickling it prints a line."""

  def __reduce__(self) -> tuple:
    return print, ('it ran',)


@pytest.mark.parametrize(
  'content',
  [
    pickled(labels=CIFAR_LABELS, data=Hostile()),
    b'\x80\x02K\x01r\xff\xff\xff\xff.',  # its memo would take 64 GiB
    pickled(labels=[10] * 20, data=cifar_pixels(0)),
    pickled(labels=CIFAR_LABELS, data=b'0'),
    python_batches()['cifar-10-batches-py/test_batch'][:-3],
  ],
  ids=['code', 'memo', 'labels', 'no array', 'cut short'],
)
def test_other_pickles_are_refused_and_never_run(
  content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  write_files(tmp_path, {'cifar-10-batches-py/data_batch_1': content})
  refuses('data_batch_1 is no CIFAR-10 batch, which has 32×32', 'cifar10:s1-car', tmp_path)
  assert 'it ran' not in capsys.readouterr().out
