"""How many images of real sets show a part that another image shows, too.

  python -m experiments.twins --data_dir=…

For each set below that is in the folder (ELPV is in its pip package): images, groups, the largest
group, sound test images with a twin in training, and the AUROC of minus the similarity to the
nearest training image. Seconds are those of `ocrgan data`: reading, checking, comparing, and
writing the records, and compiling unless that was done before.
"""

import tempfile
import time
from pathlib import Path

import ml_collections
import numpy as np
from absl import flags

from ocrgan_jax.configs import dagm, elpv, folder, kolektor, magnetic_tile, mvtec
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import NORMAL, UNLABELLED
from ocrgan_jax.scoring.metrics import image_auroc

# name → config, and the folder within the data folder.
SETS = {
  'magnetic_tile': (magnetic_tile.get_config, 'magnetic_tile'),
  'bottle': (lambda: mvtec.get_config('bottle'), 'mvtec_ad'),
  'screw': (lambda: mvtec.get_config('screw'), 'mvtec_ad'),
  'kolektor_sdd': (folder.get_config, 'kolektor_sdd_full'),
  'kolektor_sdd_items': (kolektor.get_config, 'kolektor_sdd'),
  'dagm_class_1': (lambda: dagm.get_config('Class1'), 'dagm'),
  'elpv_mono': (lambda: elpv.get_config('mono'), ''),
  'casting': (folder.get_config, 'casting'),
  'ball_screw': (folder.get_config, 'ball_screw'),
  'cookie': (folder.get_config, 'cookie'),
}
HEAD = '| set | images | groups | largest | sound test images with a twin | AUROC | seconds |'


def measure(config: ml_collections.ConfigDict, data_dir: str) -> list[str]:
  """Checks a set anew.

  Args:
    config: of the set.
    data_dir: its folder.

  Returns:
    The cells of its row: images, groups, the largest, the sound test images, AUROC and seconds.

  Raises:
    InputError: if the set is not there.
  """
  start = time.perf_counter()
  with tempfile.TemporaryDirectory() as prepared:
    config.data.prepared_dir = prepared
    dataset = prepare_dataset(data_dir, config.data)
  seconds = time.perf_counter() - start
  train, test = dataset.train, dataset.test
  _, sizes = np.unique(np.concatenate([train.groups, test.groups]), return_counts=True)
  normal, known = test.labels == NORMAL, test.labels != UNLABELLED
  shared = int(np.isin(test.groups[normal], train.groups).sum())
  assert test.similarity is not None
  auroc = image_auroc(test.labels[known], -test.similarity[known])
  return [
    str(int(sizes.sum())),
    str(len(sizes)),
    str(sizes.max()),
    f'{shared} of {normal.sum()}',
    '–' if auroc is None else f'{auroc:.3f}',
    f'{seconds:.0f}',
  ]


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  unknown = [name for name in values.sets if name not in SETS]
  if unknown:
    raise InputError(f'--sets names {unknown[0]!r}; the sets are {", ".join(SETS)}')
  print(HEAD, '|---' * HEAD.count(' | ') + '|---|', sep='\n')
  for name in values.sets or SETS:
    get_config, place = SETS[name]
    data_dir = str(Path(values.data_dir) / place) if place else ''
    try:
      print(f'| {" | ".join([name, *measure(get_config(), data_dir)])} |', flush=True)
    except InputError as error:
      print(f'| {name} | not measured: {error} |', flush=True)


if __name__ == '__main__':
  flags.DEFINE_string('data_dir', '../shared/data', 'folder of the sets')
  flags.DEFINE_list('sets', [], f'which of them; all by default: {", ".join(SETS)}')
  command_line.run(main)
