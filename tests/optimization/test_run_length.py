import pytest

from ocrgan_jax.core.checks import read
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.optimization.run_length import RunLength, choose_batch_size
from tests.conftest import tiny_config


def test_batch_shrinks_to_the_training_set_with_a_warning(capsys: pytest.CaptureFixture) -> None:
  assert choose_batch_size(32, 100, 4) == 32
  assert not capsys.readouterr().err
  assert choose_batch_size(32, 10, 4) == 8
  assert 'only 10 training images: train.batch_size is 8, not 32' in capsys.readouterr().err
  with pytest.raises(InputError, match='use a multiple of 4'):
    choose_batch_size(30, 100, 4)
  with pytest.raises(InputError, match='3 training image'):
    choose_batch_size(32, 3, 4)


def test_checkpoints_are_at_the_ends_of_epochs_and_at_the_last() -> None:
  # 20 images in batches of 8: epochs end within steps 3, 5, 8, 10 and 13.
  schedule = read(RunLength, tiny_config('', train__epochs=5, train__checkpoint_every=2).train)
  assert schedule.checkpoint_steps(20, 8) == {5, 10, 13}
