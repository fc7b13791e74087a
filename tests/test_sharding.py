import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.conftest import REPOSITORY


def test_1_2_and_8_devices_train_and_score_alike(trained: Path, tmp_path: Path) -> None:
  """Five steps, with batch statistics over the whole batch wherever its parts lie."""
  done = subprocess.run(
    [sys.executable, '-m', 'tests.devices', str(trained), str(tmp_path / 'out.npz')],
    env={**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=8'},
    cwd=REPOSITORY,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  with np.load(tmp_path / 'out.npz') as results:
    names = [name.removeprefix('1/') for name in results if name.startswith('1/')]
    assert len(names) > 300
    for count in (2, 8):
      for name in names:
        found, expected = results[f'{count}/{name}'], results[f'1/{name}']
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=name)
