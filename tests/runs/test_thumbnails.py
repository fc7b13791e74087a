"""Thumbnails of training photographs."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.runs import thumbnails
from ocrgan_jax.runs.thumbnails import load_thumbnails
from ocrgan_jax.training.train import train
from tests.conftest import tiny_config


def test_the_most_similar_photograph_is_itself_in_another_light(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  config = tiny_config(mvtec_folder, data__thumbnails=True, train__epochs=0)
  config.update_from_flattened_dict({'score.kind': 'heads'})
  train(config, tmp_path / 'run')
  found = load_thumbnails(tmp_path / 'run')
  assert sorted(found.names) == [f'train/good/{i:03}.png' for i in range(20)]
  for i in (0, 7, 19):
    photograph = Image.open(mvtec_folder / 'tile' / found.names[i])
    larger = photograph.resize((90, 90)).point(lambda value: 20 + 0.8 * value)
    assert found.most_similar(larger) == i
    small = Image.open(io.BytesIO(found.pictures[i]))
    difference = np.asarray(small, float) - np.asarray(photograph.convert('RGB'), float)
    assert np.abs(difference).mean() < 8
  (tmp_path / 'run' / thumbnails.FILE).write_bytes(b'half')
  with pytest.raises(InputError, match=r'thumbnails.npz is damaged .* delete it'):
    load_thumbnails(tmp_path / 'run')


def test_runs_keep_none_unless_told(trained: Path) -> None:
  assert load_thumbnails(trained) is None


def test_of_many_photographs_some_are_kept_and_it_is_said(
  mvtec_folder: Path,
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(thumbnails, 'MOST', 5)
  config = tiny_config(mvtec_folder, data__thumbnails=True, train__epochs=1)
  train(config, tmp_path / 'run')
  assert len(load_thumbnails(tmp_path / 'run').names) == 5
  assert 'thumbnails of 5 of 20 training photographs' in capsys.readouterr().err
