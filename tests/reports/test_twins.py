import re
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax.configs import mvtec
from ocrgan_jax.data.builder import Records, Split
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.reports.summary import summary_text
from ocrgan_jax.reports.twins import twin_lines, without_twins
from ocrgan_jax.training.train import train
from tests.conftest import write_images


def split_of(labels: np.ndarray) -> Split:
  names = [f'{i}.png' for i in range(len(labels))]
  return Split(Records('', ''), names, labels, names, names, np.arange(len(labels)))


def test_the_auroc_without_twins_is_the_headline_if_enough_images_are_left() -> None:
  labels = np.array([0] * 8 + [1] * 6)
  # The sound images of known parts score lowest, the others as high as the defective ones.
  scores = np.array([0, 0, 0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 5], float)
  of = lambda known: without_twins(split_of(labels), np.arange(14) < known, scores)
  told = lambda found: '\n'.join(twin_lines({**found, 'num_normal': 8, 'num_anomalous': 6}))
  found = of(3)
  assert (found['num_normal_twins'], found['num_anomalous_twins']) == (3, 0)
  assert found['headline'] == 'image_auroc_without_twins'
  pairs = scores[labels == 1][:, None] - scores[3:8]
  expected = np.mean((pairs > 0) + 0.5 * (pairs == 0))
  assert found['image_auroc_without_twins'] == pytest.approx(expected)
  assert '3 of 8 sound test images show a part that training shows' in told(found)
  assert 'without them: 5 sound and 6 defective test images have no twin' in told(found)
  found = of(4)
  assert found['headline'] == 'image_auroc' and 'it takes 5 of each' in found['headline_reason']
  assert of(8)['image_auroc_without_twins'] is None and 'undefined' in told(of(8))


def test_without_a_sound_twin_nothing_is_said() -> None:
  labels = np.array([0, 0, 1, 1, -1])
  found = without_twins(split_of(labels), np.array([0, 0, 1, 0, 1], bool), np.arange(5.0))
  assert found == {'num_normal_twins': 0, 'num_anomalous_twins': 1, 'headline': 'image_auroc'}
  assert twin_lines({**found, 'num_normal': 2, 'num_anomalous': 2}) == []


def test_evaluate_tells_twins_and_scores_by_the_nearest_training_image(tmp_path: Path) -> None:
  rng = np.random.default_rng(0)
  root, noise = tmp_path / 'data', lambda: rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
  known = [noise() for _ in range(12)]
  write_images(root / 'tile/train/good', known)
  again = [(known[i][:, ::-1] * 0.8).astype(np.uint8) for i in range(4)]
  write_images(root / 'tile/test/good', [*again, *(noise() for _ in range(5))])
  write_images(root / 'tile/test/scratch', [noise() for _ in range(5)])
  config = mvtec.get_config('tile,bands')
  config.data_dir, config.image_size = str(root), 32
  train(config, tmp_path / 'run')
  figures = tmp_path / 'run/figures'
  figures.mkdir()
  (figures / 'latent.png').touch()  # as an earlier version drew it
  metrics = evaluate(tmp_path / 'run')
  assert metrics['num_normal_twins'] == 4 and metrics['num_anomalous_twins'] == 0
  assert metrics['headline'] == 'image_auroc_without_twins'
  assert 0 <= metrics['image_auroc_without_twins'] <= 1
  assert metrics['trivial']['nearest_training_image'] > 0.4 + 4 / 9 / 2  # four of nine are known
  assert metrics['trivial_direction']['nearest_training_image'] == 'high'
  text = summary_text(metrics)
  assert f'image AUROC without twins: {metrics["image_auroc_without_twins"]:.3f}' in text
  assert '4 of 9 sound test images show a part' in text and 'nearest training image' in text
  assert 'quote the AUROC without them: 5 sound and 5 defective test images' in text
  page = (tmp_path / 'run/report.html').read_text()
  assert 'id="twins"' in page and 'image AUROC without twins' in page
  # What a user of `bands` reads is not about networks.
  read = re.sub(r'(?s)<(style|script|svg|pre).*?</\1>|<.*?>', '', page) + text
  assert '1 is the highest score among them' in read and '12 training photographs' in read
  assert not re.search(r'(?i)gan\b|discriminator|loss|protocol|step|seed|held|normal', read)
  assert [path.stem for path in figures.glob('*.png')] == ['curves']
