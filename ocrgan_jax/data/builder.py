"""Datasets as TensorFlow Datasets builders, without TensorFlow.

A dataset is read and checked once, then stored as array_record files with the encoded
bytes of one image per record. The name of the records' folder contains a hash of the source
files' names, sizes and times, so a changed dataset is read again.
"""

import abc
import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from ocrgan_jax.core.errors import InputError, is_disk_full
from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.examples import Example, Examples
from ocrgan_jax.data.group_rules import TABLE
from ocrgan_jax.data.inspection import inspect
from ocrgan_jax.data.settings import DataSettings

CHECKSUMS = 'checksums.json'  # in the folder of a prepared dataset
# Fields of `data` that do not affect the records.
NOT_IN_FINGERPRINT = ('prepared_dir', 'memory_gib', 'workers', 'validation_share')


class Records:
  """Random access to the records of a split. Opened on first use, so cheap to pickle."""

  def __init__(self, folder: str, split: str):
    """Refers to a split, 'train' or 'test', of the prepared dataset in a folder."""
    self.place = folder, split

  @functools.cached_property
  def _source(self) -> Sequence[dict[str, Any]]:
    folder, split = self.place
    with _quiet():
      builder = tfds.builder_from_directory(folder)
      return builder.as_data_source(split, decoders={'image': tfds.decode.SkipDecoding()})

  def __getitem__(self, index: int) -> dict[str, Any]:
    return self._source[index]

  def __reduce__(self) -> tuple[type, tuple[str, str]]:
    """Pickles only the arguments; each worker opens the files itself."""
    return Records, self.place


class Split(NamedTuple):
  """The training or test split of a prepared dataset."""

  # Each is a dict of `image` and `mask` (encoded, or empty), `label`, `defect_type` and `path`.
  records: Records
  names: list[str]  # paths of the images relative to the dataset's folder
  labels: np.ndarray  # int [images]; 0 normal, 1 anomalous, -1 unknown
  defect_types: list[str]  # 'good' for normal images
  digests: list[str]  # hashes of the images' pixels
  groups: np.ndarray  # int [images], the same for images of the same part, in either split
  # To the nearest training image, float [images], of the test split unless `data.groups` is 'none'.
  similarity: np.ndarray | None = None


class Prepared(NamedTuple):
  """A dataset that was checked and can be read by index."""

  train: Split  # normal images
  test: Split  # may be empty
  report: dict[str, Any]  # see `inspection.inspect`


class _Info(tfds.core.DatasetInfo):  # type: ignore[misc]
  """The info of a dataset that is not in TFDS's bucket."""

  def initialize_from_bucket(self) -> None:
    """Does nothing: the base method leaves an empty temporary folder behind at each start."""


class AnomalyDataset(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):  # type: ignore[call-arg]
  """A dataset for anomaly detection. Subclasses list its examples."""

  SETTINGS: ClassVar[type[DataSettings]] = DataSettings
  NEEDS_TRAINING: ClassVar[bool] = True  # whether it must have training images
  VERSION = tfds.core.Version('1.3.0')
  # TFDS requires download URLs and checksums; our data is already on disk.
  url_infos: ClassVar[dict[str, Any]] = {}

  def __init__(self, source: str, settings: DataSettings, prepared_dir: Path):
    """Finds the dataset on disk.

    Args:
      source: the config's `data_dir`.
      settings: the config's `data` section, read as SETTINGS.
      prepared_dir: folder for prepared datasets.

    Raises:
      InputError: if the dataset is missing or not in the expected layout.
    """
    self.source, self.settings, self.prepared_dir = source, settings, prepared_dir
    self.report: dict[str, Any] = {}
    name = f'{settings.category or "all"}-{self._fingerprint()}'
    config = tfds.core.BuilderConfig(
      name=re.sub(r'[^\w.-]', '_', name), version=self.VERSION, description=self.__doc__
    )
    with _quiet():
      super().__init__(data_dir=prepared_dir, config=config, file_format='array_record')

  @abc.abstractmethod
  def list_examples(self) -> Examples:
    """Lists the training and test images.

    Raises:
      InputError: if the images are missing or not in the dataset's layout.
    """

  def identity(self) -> list[Any]:
    """What changes whenever the dataset does: its source files, and the warnings about them."""
    examples = (*self.listed.train, *self.listed.test)
    files = [file for e in examples for file in (e.path, e.mask) if file]
    return [stamps(files), self.listed.warnings]

  @functools.cached_property
  def listed(self) -> Examples:
    """The result of `list_examples`; once checked, without the damaged ones."""
    return self.list_examples()

  def prepare(self) -> Prepared:
    """Checks the dataset and writes its records, unless that is already done.

    Raises:
      InputError: if an image is damaged and `data.skip_damaged` is off, or if the records
        cannot be written.
    """
    folder = Path(self.data_dir)
    if folder.exists() and (wrong := find_damage(folder)):
      _remove(folder, wrong)
      # This builder has already read the damaged records' description.
      return type(self)(self.source, self.settings, self.prepared_dir).prepare()
    if not folder.exists():
      self.listed, self.report = inspect(
        self.listed,
        max_megapixels=self.settings.max_megapixels,
        skip_damaged=self.settings.skip_damaged,
        groups=self.settings.groups,
        split_seed=self.settings.split_seed,
        needs_training=self.NEEDS_TRAINING,
      )
      self._write(folder)
    metadata = json.loads((folder / 'metadata.json').read_text())
    train, test = (self._split(name, metadata) for name in ('train', 'test'))
    return Prepared(train, test, metadata['report'])

  def _write(self, folder: Path) -> None:
    """Writes the records and their checksums."""
    try:
      with _quiet():
        self.download_and_prepare()
      write_checksums(folder)
    except (OSError, RuntimeError) as error:
      if not isinstance(error, OSError) and not is_disk_full(error):
        raise
      if not folder.exists():  # otherwise another run wrote it first
        reason = str(error).strip().partition('\n')[0]
        raise InputError(
          f'cannot write the prepared dataset to {folder}: {reason}; free some space, or '
          'choose another folder with --config.data.prepared_dir'
        ) from None

  def _split(self, name: str, metadata: dict[str, Any]) -> Split:
    table, similarity = metadata[name], metadata['similarity']
    return Split(
      records=Records(str(self.data_dir), name),
      names=[row[0] for row in table],
      labels=np.array([row[1] for row in table], int),
      defect_types=[row[2] for row in table],
      digests=metadata['digests'][name],
      groups=np.array(metadata['groups'][name], int),
      similarity=np.array(similarity) if name == 'test' and similarity else None,
    )

  def _fingerprint(self) -> str:
    """A hash of the dataset and its settings; a new one means reading the dataset again."""
    settings = dataclasses.asdict(self.settings)
    for name in NOT_IN_FINGERPRINT:
      del settings[name]
    table = [Path(self.settings.groups)] if self.settings.groups.endswith(TABLE) else []
    parts = [str(self.VERSION), self.source, self.identity(), stamps(table), settings]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

  def _info(self) -> tfds.core.DatasetInfo:
    features = {
      'image': tfds.features.Image(doc='encoded, as on disk'),
      'mask': tfds.features.Text(doc='encoded, non-zero where defective; may be empty'),
      'label': tfds.features.Scalar(np.int32, doc='0 normal, 1 anomalous, -1 unknown'),
      'defect_type': tfds.features.Text(),
      'path': tfds.features.Text(doc="relative to the dataset's folder"),
    }
    self._metadata = tfds.core.MetadataDict()
    return _Info(
      builder=self,
      description=self.__doc__,
      features=tfds.features.FeaturesDict(features),
      metadata=self._metadata,
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: object) -> dict[str, Iterator[Any]]:
    del dl_manager
    splits = {'train': self.listed.train, 'test': self.listed.test}
    for name, examples in splits.items():
      self._metadata[name] = [[e.name, e.label, e.defect_type] for e in examples]
    for name in ('digests', 'groups', 'similarity'):
      self._metadata[name] = self.report.pop(name)
    self._metadata['report'] = self.report
    return {name: self._generate_examples(e) for name, e in splits.items() if e}

  def _generate_examples(self, examples: list[Example]) -> Iterator[tuple[int, dict[str, Any]]]:  # type: ignore[override]
    # `_quiet` hides the progress bars of TFDS, so draw our own.
    bar = tqdm(examples, 'preparing', unit='image', leave=False, file=sys.__stderr__)
    for index, example in enumerate(bar):
      yield (
        index,
        {
          'image': example.read(),
          'mask': read_file(example.mask) if example.mask else b'',
          'label': example.label,
          'defect_type': example.defect_type,
          'path': example.name,
        },
      )


def write_checksums(folder: Path) -> None:
  """Writes the CRC-32 of each file of a prepared dataset to its folder."""
  if (folder / CHECKSUMS).exists():  # another process wrote the records in the meantime
    return
  files = sorted(path for path in folder.iterdir() if not path.name.startswith('.'))
  content = json.dumps({path.name: _crc(path) for path in files})
  partial = folder / f'.{CHECKSUMS}.{os.getpid()}'
  partial.write_text(content)
  partial.rename(folder / CHECKSUMS)


def find_damage(folder: Path) -> str:
  """What is wrong with the files of a prepared dataset, or ''."""
  if not (folder / CHECKSUMS).exists():  # perhaps another process is about to write them
    return '' if (folder / 'metadata.json').exists() else 'metadata.json is missing'
  try:
    expected = [*json.loads((folder / CHECKSUMS).read_text()).items()]
  except (ValueError, AttributeError):
    return f'{CHECKSUMS} cannot be read'
  for name, crc in expected:
    if not (folder / name).exists():
      return f'{name} is missing'
    if _crc(folder / name) != crc:
      return f'{name} differs from what was written'
  return ''


def _remove(folder: Path, wrong: str) -> None:
  """Removes a damaged prepared dataset, with a warning.

  Raises:
    InputError: if that is not possible.
  """
  print(
    f'warning: the prepared dataset {folder} is damaged ({wrong}): preparing it again',
    file=sys.stderr,
  )
  shutil.rmtree(folder, ignore_errors=True)  # another process may remove it, too
  if folder.exists() and find_damage(folder):
    raise InputError(
      f'the prepared dataset {folder} is damaged ({wrong}) and cannot be removed; remove it, '
      'or choose another folder with --config.data.prepared_dir'
    )


def _crc(path: Path) -> int:
  crc = 0
  with path.open('rb') as file:
    while block := file.read(2**24):
      crc = zlib.crc32(block, crc)
  return crc


def stamps(files: Iterable[Path]) -> list[tuple[str, int, int]]:
  """Name, size and time of each file. A missing one is left for the inspection to report."""
  found = []
  for path in files:
    try:
      stat = path.stat()
      found.append((str(path), stat.st_size, stat.st_mtime_ns))
    except (OSError, ValueError):  # ValueError: the name is invalid
      found.append((str(path), -1, -1))
  return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences the prints and logs of TFDS."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logging.set_verbosity(verbosity)
