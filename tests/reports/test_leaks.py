import numpy as np
import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import Prepared, Records, Split
from ocrgan_jax.reports.leaks import count_leaked


def split_of(digests: list[str]) -> Split:
  names = [f'{digest}.png' for digest in digests]
  count = len(names)
  labels, groups = np.zeros(count, int), np.arange(count)
  return Split(Records('', ''), names, labels, ['good'] * count, digests, groups)


def test_images_shared_from_the_start_are_counted_and_new_ones_are_refused(
  capsys: pytest.CaptureFixture[str],
) -> None:
  dataset = Prepared(split_of(['a', 'b', 'c']), split_of(['d', 'c', 'b']), {})
  assert count_leaked(['a', 'b', 'c'], ['b', 'c'], dataset) == 2
  assert not capsys.readouterr().err  # the check of the dataset names them
  assert count_leaked(['a', 'b', 'c', 'x'], ['b', 'c'], dataset) == 2
  assert 'warning: 2 test images (first: c.png) are also' in capsys.readouterr().err
  assert count_leaked(['e'], [], dataset) == 0
  with pytest.raises(InputError, match=r'1 test images \(first: b.png\) .* when it started'):
    count_leaked(['a', 'b', 'c'], ['c'], dataset)
  # The run was trained on other images than the dataset now has: it was split differently.
  with pytest.raises(InputError, match=r'2 test images \(first: d.png\)'):
    count_leaked(['a', 'b', 'd'], [], dataset)
