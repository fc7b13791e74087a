"""Your own photographs.

  ocrgan data  --config=folder --config.data_dir=my/photos
  ocrgan train --config=folder --config.data_dir=my/photos --workdir=runs/mine
  ocrgan predict --workdir=runs/mine --maps new/photos

The default recipe is `bands`, which trains nothing and takes about a minute on two CPU cores.
`--config=folder:paper` trains the paper's networks, which takes hours there and hardly detects
(docs/results.md).

`data_dir` is a folder of images of sound products, or one in MVTec AD's layout (train/good,
test/good, test/<defect>). To add a test set to a plain folder, pass `--config.data.test_dir=…`:
images in its subfolder `good` are normal, those in other subfolders anomalous, and those
directly in it unlabelled (scored, but without AUROC).
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(recipe: str = '') -> ml_collections.ConfigDict:
  """The configuration of a recipe, `bands` by default."""
  config = default.get_config(recipe or 'bands')
  if config.score.kind == 'heads':
    config.image_size = 0  # chosen by the photographs
  config.data.dataset = 'folder'
  return config
