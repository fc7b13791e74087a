"""Reads tensors from files of PyTorch, without PyTorch and without running their code.

The format is the one that `torch.save` wrote before version 1.6: five pickles (a magic number, a
version, a description of the machine, the tensors by name, the keys of their storages), then each
storage's length and bytes.
"""

import collections
import io
import pickle
import struct
from typing import Any, NamedTuple

import numpy as np

from ocrgan_jax.core.errors import InputError

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


def read_tensors(content: bytes, where: str) -> dict[str, np.ndarray]:
  """Reads tensors by name.

  Args:
    content: of the file.
    where: names the file in messages.

  Returns:
    Name → float32 or int64 array, read-only, in the content's memory.

  Raises:
    InputError: if the content is anything else, or its pickles ask for more than tensors.
  """
  try:
    return _read_tensors(io.BytesIO(content), content)
  except Exception as error:  # a damaged or hostile pickle raises anything
    raise InputError(
      f'{where} does not hold tensors as PyTorch saved them before version 1.6: {error}'
    ) from None


def _read_tensors(file: io.BytesIO, content: bytes) -> dict[str, np.ndarray]:
  load = lambda: _Unpickler(file).load()
  if (load(), load()) != (MAGIC, VERSION) or not load()['little_endian']:
    raise ValueError('another format')
  tensors, keys = load(), load()
  storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
  data = {}
  for key in keys:
    (length,) = struct.unpack('<q', file.read(8))
    if length != storages[key].length or length < 0:
      raise ValueError(f'storage {key} has {length} values')
    data[key] = np.frombuffer(content, storages[key].dtype, length, offset=file.tell())
    file.seek(data[key].nbytes, io.SEEK_CUR)
  return {name: _to_array(tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}


class _Storage(NamedTuple):
  dtype: str
  key: str
  length: int


class _Tensor(NamedTuple):
  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]  # in values; kernels that came from TensorFlow are stored transposed


def _to_array(tensor: _Tensor, data: np.ndarray) -> np.ndarray:
  last = tensor.offset + sum(
    (n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)
  )
  if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or last >= len(data):
    raise ValueError(f'a tensor of shape {tensor.shape} reaches beyond its storage')
  steps = [stride * data.itemsize for stride in tensor.strides]
  return np.lib.stride_tricks.as_strided(
    data[tensor.offset :], tensor.shape, steps, writeable=False
  )


def _describe(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
  return _Tensor(storage, offset, shape, strides)


# What a pickle may name, and what stands in for it. Types of storages are looked at, never called.
_ALLOWED = {
  ('collections', 'OrderedDict'): collections.OrderedDict,
  ('torch._utils', '_rebuild_tensor_v2'): _describe,
  ('torch', 'FloatStorage'): '<f4',
  ('torch', 'LongStorage'): '<i8',
}


class _Unpickler(pickle.Unpickler):
  """Builds descriptions of tensors out of plain values; a pickle can run nothing else."""

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _ALLOWED:
      raise pickle.UnpicklingError(f'a pickle asks for {module}.{name}')
    return _ALLOWED[module, name]

  def persistent_load(self, saved: Any) -> _Storage:
    _, dtype, key, _, length, _ = saved
    return _Storage(dtype, key, length)
