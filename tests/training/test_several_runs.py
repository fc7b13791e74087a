from pathlib import Path

import numpy as np

from ocrgan_jax.inference.loading import load
from tests.conftest import run_module, tiny_flags


def test_seeds_share_the_compiled_step_and_a_failing_run_does_not_stop_the_others(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  done = run_module(
    'ocrgan_jax.train',
    '--config=mvtec',
    f'--config.data_dir={mvtec_folder}',
    *tiny_flags(),
    '--categories=missing,tile',
    '--seeds=0,1',
    f'--workdir={tmp_path}',
  )
  assert done.returncode == 1 and done.stderr.count('compiling the training step') == 1
  last = done.stderr.splitlines()[-1]
  assert last.startswith('error: ') and last.count("no 'missing' in") == 2
  assert sorted(path.name for path in tmp_path.iterdir()) == ['tile']
  alone = load(trained).state.generator.params
  first, second = (load(tmp_path / f'tile/seed{i}').state.generator.params for i in (0, 1))
  weights = [np.asarray(params['branch1_e1']['kernel']) for params in (alone, first, second)]
  np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5, atol=1e-5)
  assert not np.allclose(weights[2], weights[0], rtol=1e-2)
