"""How many images of real sets show a part that another image shows, too.

  python -m experiments.twins --data_dir=…

For each set below that is in the folder (ELPV is in its pip package): images, groups, the largest
group, sound test images with a twin in training, and the AUROC of minus the similarity to the
nearest training image. Seconds are those of `ocrgan data`: reading, checking, comparing, and
writing the records, and compiling unless that was done before.
"""

import tempfile
import time

import ml_collections
import numpy as np
from absl import flags

from experiments.configs import OTHERS, SETS, check_known, config_of_set
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import NORMAL, UNLABELLED
from ocrgan_jax.scoring.metrics import image_auroc

NAMES = [*SETS, *OTHERS]
HEAD = '| set | images | groups | largest | sound test images with a twin | AUROC | seconds |'


def measure(config: ml_collections.ConfigDict) -> list[str]:
  """Checks a set anew, and returns the cells of its row, those of HEAD after the first.

  Raises:
    InputError: if the set is not there.
  """
  start = time.perf_counter()
  with tempfile.TemporaryDirectory() as prepared:
    config.data.prepared_dir = prepared
    dataset = prepare_dataset(config.data_dir, config.data)
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
  check_known('sets', values.sets, NAMES)
  print(HEAD, '|---' * HEAD.count(' | ') + '|---|', sep='\n')
  for name in values.sets:
    try:
      cells = measure(config_of_set(name, values.data_dir, 'bands'))
      print(f'| {" | ".join([name, *cells])} |', flush=True)
    except InputError as error:
      print(f'| {name} | not measured: {error} |', flush=True)


if __name__ == '__main__':
  flags.DEFINE_string('data_dir', None, 'folder that contains the folders of the datasets')
  flags.DEFINE_list('sets', NAMES, f'datasets: {", ".join(NAMES)}')
  flags.mark_flag_as_required('data_dir')
  command_line.run(main)
