r"""Your own photographs.

  python -m ocrgan_jax.data  --config=configs/folder.py --config.data_dir=my/photos
  python -m ocrgan_jax.train --config=configs/folder.py \
      --workdir=runs/mine --config.data_dir=my/photos
  python -m ocrgan_jax.evaluate --workdir=runs/mine

By default nothing is trained: band statistics are fitted (see docs/detection.md), in less
than a minute for some hundred images on two CPU cores. `configs/folder.py:paper` trains
the paper's networks, which takes hours on a CPU and has not detected better yet.

`data_dir` is a folder of images of sound products, or one in MVTec AD's layout
(train/good, test/good, test/<defect>). To a plain folder a test set can be given as
`--config.data.test_dir=…`: images in its subfolder `good` are normal, in other
subfolders anomalous, directly in it unlabelled (scored, but with no AUROC).
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(preset: str = '') -> ml_collections.ConfigDict:
  """The configuration of a preset, `statistics` by default."""
  config = default.get_config(preset or 'statistics')
  config.data.dataset = 'folder'
  return config
