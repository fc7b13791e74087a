import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.compare import IMAGES, TRUTH, markdown, measure, write_tree


@pytest.mark.slow
def test_models_are_measured_on_new_parts_whatever_their_order(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  folder = tmp_path / 'data/mvtec_ad/bottle'
  shutil.copytree(mvtec_folder / 'tile', folder)
  shutil.copy(folder / 'train/good/000.png', folder / 'test/good/twin.png')
  root = tmp_path / 'set' / IMAGES
  write_tree('bottle', str(tmp_path / 'data'), 32, root)
  assert len([*(root / 'train/good').iterdir()]) == 20
  truth = np.load(root / TRUTH)
  names = truth['names']
  defective = np.array(['/defective/' in name for name in names])
  assert (defective.sum(), (~defective).sum(), truth['seen'].sum()) == (6, 6, 1)
  assert [*truth['masks'].any((1, 2))] == [*defective]
  # A model that finds all defects, and the twin as well, which does not count.
  scores, maps = defective + 2.0 * truth['seen'], truth['masks'].astype(np.float32)
  order = np.random.default_rng(0).permutation(len(names))
  output = tmp_path / 'set/PaDiM.npz'
  np.savez(output, names=names[order], scores=scores[order], maps=maps[order])
  row = measure(output)
  assert row == {'image_auroc': 1.0, 'recall': 1.0, 'aupro': pytest.approx(1.0, abs=0.01)}
  costs = {'train_minutes': 1.0, 'images_per_second': 20.0, 'gib': 0.5}
  text = markdown({'bottle': {'PaDiM': {'name': 'PaDiM', **row, **costs}}}, ['PaDiM'], 'some')
  assert '| bottle | 1.000; 1.000; 1.000 |' in text and '| mean | 1.000; 1.000 |' in text
  assert '| PaDiM | 1 | 20 | 0.5 |' in text
