"""Reading is made to fail here as it does on a disk with transient errors."""

import errno
import os
from pathlib import Path

import pytest

from ocrgan_jax.core import files
from ocrgan_jax.core.files import read_file


def fail(monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> None:
  read, left = Path.read_bytes, [times]

  def failing(path: Path) -> bytes:
    if left[0]:
      left[0] -= 1
      raise OSError(number, os.strerror(number))
    return read(path)

  monkeypatch.setattr(Path, 'read_bytes', failing)
  monkeypatch.setattr(files, 'RETRY_PAUSES', (0.0, 0.0, 0.0))


def test_transient_errors_are_retried_with_a_warning(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
  path = tmp_path / 'image'
  path.write_bytes(b'content')
  fail(monkeypatch, errno.EIO, times=3)
  assert read_file(path) == b'content'
  assert capsys.readouterr().err.count(f'warning: {path}: Input/output error; retrying') == 3


@pytest.mark.parametrize('number, times', [(errno.ESTALE, 4), (errno.EACCES, 1)])
def test_lasting_errors_are_raised(
  number: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  (tmp_path / 'image').write_bytes(b'content')
  fail(monkeypatch, number, times)
  with pytest.raises(OSError, match=os.strerror(number)):
    read_file(tmp_path / 'image')
