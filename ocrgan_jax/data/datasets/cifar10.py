"""CIFAR-10 for semantic anomaly detection, protocols S1 and S2 (IV-A1).

S1: one class is normal. Training uses its 5,000 training images; testing uses all 10,000
test images. S2: one class is anomalous. Training uses the 45,000 training images of the other
classes; testing uses their 9,000 test images and all 6,000 images of the anomalous class.

`data_dir` is or contains one of

  cifar-10-python.tar.gz or cifar-10-batches-py/data_batch_1 …
  cifar-10-binary.tar.gz or cifar-10-batches-bin/data_batch_1.bin …
  an image tree {train,test}/<class>/*.jpg, or a .tar.gz of one
"""

import io
import lzma
import pickle
import pickletools
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  IMAGE_SUFFIXES,
  NORMAL,
  Example,
  Examples,
  image_files,
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
# Official batches reach at most a fifth of these limits.
MAX_BYTES, MAX_OPERATIONS, MAX_NUMBER = 200_000_000, 200_000, 200_000
BATCHES = {
  'train': tuple(f'data_batch_{i}' for i in range(1, 6)),
  'test': ('test_batch',),
}


class Cifar10(AnomalyDataset):
  """CIFAR-10: 60,000 colour images of 32×32 in ten classes."""

  HOMEPAGE = 'https://www.cs.toronto.edu/~kriz/cifar.html'
  LICENSE = 'MIT-style'
  CITATION = 'A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009.'

  def sources(self) -> list[Path]:
    """The archive, or all files of the folder, without reading them."""
    source = _find(require_folder(self.source, LAYOUT, or_file=True))
    return [source] if source.is_file() else sorted(p for p in source.rglob('*') if p.is_file())

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
  if source.is_dir() and (source / 'train').is_dir():
    for split in ('train', 'test'):
      for kind in CLASSES:
        for path in image_files(source / split / kind):
          yield split, kind, Example(path.relative_to(source).as_posix(), NORMAL, kind, path)
    return
  seen: set[str] = set()
  for name, content in _files(source):
    if Path(name).suffix.lower() in IMAGE_SUFFIXES:
      split, kind = ('', '', *Path(name).parts)[-3:-1]
      if split in BATCHES and kind in CLASSES:
        example = Example(f'{split}/{kind}/{Path(name).name}', NORMAL, kind, source, None, content)
        yield split, kind, example
      continue
    batch = Path(name).name.removesuffix('.bin')
    split = next((s for s, batches in BATCHES.items() if batch in batches), '')
    if split:
      seen.add(batch)
      labels, rows = (_decode_binary if name.endswith('.bin') else _decode_python)(content)
      _check(labels, rows, name)
      for index, (label, pixels) in enumerate(zip(labels, rows, strict=True)):
        kind = CLASSES[label]
        name_of = f'{batch}/{index:05}-{kind}.png'
        yield split, kind, Example(name_of, NORMAL, kind, source, None, _encode(pixels))
  missing = [batch for batches in BATCHES.values() for batch in batches if batch not in seen]
  if seen and missing:
    raise InputError(f'{source} lacks {", ".join(missing)}; download it again')


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
  if source.is_dir():
    for path in sorted(p for p in source.iterdir() if p.is_file()):
      yield path.name, path.read_bytes()
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
        yield member.name, file.read()
  except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
    reason = str(error).partition('\n')[0]
    raise InputError(f'cannot read {source}: {reason}; download it again') from None


class _ArraysOnly(pickle.Unpickler):
  """Unpickles the official batches, but nothing that could run code or exhaust memory."""

  def find_class(self, module: str, name: str) -> object:
    if module.split('.')[0] == 'numpy':
      if name == '_reconstruct':
        return _empty_array
      if name in ('ndarray', 'dtype'):
        return super().find_class(module, name)
    if (module, name) == ('_codecs', 'encode'):
      return _latin1
    raise pickle.UnpicklingError(f'it contains {module}.{name}')


def _empty_array(*_: object) -> np.ndarray:
  """Stands in for numpy's constructor: an empty array, whose shape must then fit its bytes."""
  return np.empty(0, np.uint8)


def _latin1(text: str, encoding: str) -> bytes:
  if encoding != 'latin1':
    raise pickle.UnpicklingError(f'it is encoded as {encoding}')
  return text.encode(encoding)


def _decode_python(content: bytes) -> tuple[np.ndarray, np.ndarray]:
  try:
    for count, (_, argument, _) in enumerate(pickletools.genops(content)):
      # Unpickling allocates a memo as long as its largest index, however short the file.
      if count > MAX_OPERATIONS or (isinstance(argument, int) and argument > MAX_NUMBER):
        raise ValueError('it is larger than a batch can be')
    batch = _ArraysOnly(io.BytesIO(content), encoding='bytes').load()
    labels, pixels = batch[b'labels'], batch[b'data']
    # Nested lists that repeat each other stay small until they become an array.
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
      raise ValueError('its labels are not a list of whole numbers')
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
      raise ValueError('its data is not an array of bytes')
    return np.array(labels, int), pixels
  except Exception as error:  # a hostile pickle can raise anything
    reason = str(error).partition('\n')[0] or type(error).__name__
    raise InputError(f'not a CIFAR-10 batch: {reason}; download it again') from None


def _decode_binary(content: bytes) -> tuple[np.ndarray, np.ndarray]:
  if len(content) % ROW:
    raise InputError(f'a .bin batch is not a whole number of {ROW}-byte rows; download it again')
  rows = np.frombuffer(content, np.uint8).reshape(-1, ROW)
  return rows[:, 0].astype(int), rows[:, 1:]


def _check(labels: np.ndarray, pixels: np.ndarray, name: str) -> None:
  wanted = (len(labels), ROW - 1)
  if labels.ndim != 1 or pixels.shape != wanted or not np.isin(labels, range(10)).all():
    raise InputError(f'{name} must contain 32×32 images with labels 0 to 9; download it again')


def _encode(pixels: np.ndarray) -> bytes:
  file = io.BytesIO()
  image = pixels.reshape(3, 32, 32).transpose(1, 2, 0)
  Image.fromarray(np.ascontiguousarray(image)).save(file, 'PNG', compress_level=1)
  return file.getvalue()
