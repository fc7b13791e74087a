"""CIFAR-10 for semantic anomaly detection, protocols S1 and S2 (IV-A1).

S1: one class is normal. Training uses its 5,000 training images; testing uses all 10,000
test images. S2: one class is anomalous. Training uses the 45,000 training images of the other
classes; testing uses their 9,000 test images and all 6,000 images of the anomalous class.

`data_dir` is or contains one of

  cifar-10-python.tar.gz or cifar-10-batches-py/data_batch_1 …
  cifar-10-binary.tar.gz or cifar-10-batches-bin/data_batch_1.bin …
  an image tree {train,test}/<class>/*.jpg, or a .tar.gz of one

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import io
import lzma
import pickletools
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset, stamps
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  IMAGE_SUFFIXES,
  NORMAL,
  Example,
  Examples,
  require_folder,
)

CLASSES = (
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
)
ALIASES = {'plane': 'airplane', 'car': 'automobile'}  # the paper's names
LAYOUT = (
  'cifar-10-python.tar.gz, cifar-10-binary.tar.gz, either unpacked, or {train,test}/<class>/*.jpg'
)
ROW = 1 + 3 * 32 * 32  # bytes of a label and its image in the binary format
MAX_BYTES = 200_000_000  # in an archive; an official batch has a sixth of it
KEYS = (b'batch_label', b'labels', b'data', b'filenames')  # of a pickled batch
BATCHES = {
  'train': tuple(f'data_batch_{i}' for i in range(1, 6)),
  'test': ('test_batch',),
}


class Cifar10(AnomalyDataset):
  """CIFAR-10: 60,000 colour images of 32×32 in ten classes."""

  def identity(self) -> list[Any]:
    """The archive, or all files of the folder, without reading them."""
    source = _find(require_folder(self.source, LAYOUT, or_file=True))
    return stamps([source] if source.is_file() else sorted(filter(Path.is_file, source.rglob('*'))))

  def list_examples(self) -> Examples:
    """The split for the config's category, `s1-<class>` or `s2-<class>`."""
    protocol, _, name = self.settings.category.partition('-')
    name = ALIASES.get(name, name)
    if protocol not in ('s1', 's2') or name not in CLASSES:
      raise InputError(
        f'no CIFAR-10 protocol {self.settings.category!r}; use s1-<class> (normal) or '
        f's2-<class> (anomalous), where <class> is one of {", ".join((*ALIASES, *CLASSES))}'
      )
    train, test = [], []
    for split, kind, example in _read(_find(require_folder(self.source, LAYOUT, or_file=True))):
      normal = (kind == name) == (protocol == 's1')
      example = example._replace(label=NORMAL if normal else ANOMALOUS, defect_type=kind)
      if split == 'test' or (not normal and protocol == 's2'):
        test.append(example)
      elif normal:
        train.append(example)
    if not train or not test:
      raise InputError(f'no images of {name} in {self.source}; expected {LAYOUT}')
    return Examples(train, test)


def _find(root: Path) -> Path:
  """The archive or folder that contains the images."""
  if root.is_file():
    return root
  for name in ('cifar-10-batches-py', 'cifar-10-batches-bin'):
    if (root / name).is_dir():
      return root / name
  if any((root / name).exists() for name in ('train', 'data_batch_1', 'data_batch_1.bin')):
    return root
  archives = sorted(root.glob('cifar*.tar.gz'))
  if not archives:
    raise InputError(f'no CIFAR-10 in {root}; expected {LAYOUT}')
  return archives[0]


def _read(source: Path) -> Iterator[tuple[str, str, Example]]:
  """Yields (split, class, example) in the source's order; the labels are still to be set."""
  split_of = {batch: split for split, batches in BATCHES.items() for batch in batches}
  seen: set[str] = set()
  for name, path, content in _files(source):
    batch = Path(name).name.removesuffix('.bin')
    split, kind = ('', '', *Path(name).parts)[-3:-1]
    if Path(name).suffix.lower() in IMAGE_SUFFIXES:
      if split in BATCHES and kind in CLASSES and not batch.startswith('.'):
        yield split, kind, Example(f'{split}/{kind}/{batch}', NORMAL, kind, path, None, content)
    elif batch in split_of:
      seen.add(batch)
      content = path.read_bytes() if content is None else content
      for index, (label, pixels) in enumerate(_decode(name, content)):
        kind = CLASSES[label]
        full = f'{batch}/{index:05}-{kind}.png'
        yield split_of[batch], kind, Example(full, NORMAL, kind, source, None, _encode(pixels))
  missing = [batch for batch in split_of if batch not in seen]
  if seen and missing:
    raise InputError(f'{source} lacks {", ".join(missing)}; download it again')


def _files(source: Path) -> Iterator[tuple[str, Path, bytes | None]]:
  """Yields the name and the path of each file, and its content if it is in an archive."""
  if source.is_dir():
    for pattern in ('train/*/*', 'test/*/*', '*batch*'):
      for path in filter(Path.is_file, sorted(source.glob(pattern))):
        yield path.relative_to(source).as_posix(), path, None
    return
  try:
    with tarfile.open(source) as archive:
      for member in archive:
        if not member.isfile():  # a folder, or a link that may point anywhere
          continue
        if member.size > MAX_BYTES:
          raise InputError(f'{member.name} in {source} is larger than any batch; download it again')
        file = archive.extractfile(member)
        assert file
        yield member.name, source, file.read()
  except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
    reason = str(error).partition('\n')[0]
    raise InputError(f'cannot read {source}: {reason}; download it again') from None


def _decode(name: str, content: bytes) -> Iterator[tuple[int, np.ndarray]]:
  """The label and the pixels, uint8 [3072], of each image of a batch."""
  try:
    labels, pixels = (_read_binary if name.endswith('.bin') else _read_pickle)(content)
    pixels = pixels.reshape(len(labels), ROW - 1)
    if len(labels) and np.isin(labels, range(len(CLASSES))).all():
      return zip(labels.tolist(), pixels, strict=True)
  except ValueError:  # cut short, or something else
    pass
  raise InputError(
    f'{name} is no CIFAR-10 batch, which has 32×32 images with labels 0 to 9; download it again'
  )


def _read_binary(content: bytes) -> tuple[np.ndarray, np.ndarray]:
  rows = np.frombuffer(content, np.uint8).reshape(-1, ROW)
  return rows[:, 0].astype(int), rows[:, 1:]


def _read_pickle(content: bytes) -> tuple[np.ndarray, np.ndarray]:
  """Reads a pickled batch without unpickling it, which could run code or exhaust the memory.

  Its labels are the numbers after the key `labels`, its pixels the longest string.
  """
  labels, pixels, key = [], b'', b''
  for opcode, argument, _ in pickletools.genops(content):
    if opcode.name.startswith('BININT') and key == b'labels':
      labels.append(argument)
    elif isinstance(argument, str | bytes):  # Python 2 pickled bytes as str
      text = argument.encode('latin1', 'ignore') if isinstance(argument, str) else argument
      pixels = max(pixels, text, key=len)
      key = text if text in KEYS else key
  return np.array(labels, int), np.frombuffer(pixels, np.uint8)


def _encode(pixels: np.ndarray) -> bytes:
  file = io.BytesIO()
  image = pixels.reshape(3, 32, 32).transpose(1, 2, 0)
  Image.fromarray(np.ascontiguousarray(image)).save(file, 'PNG', compress_level=1)
  return file.getvalue()
