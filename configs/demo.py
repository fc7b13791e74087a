"""What `make demo` trains: a small OCR-GAN on ELPV's monocrystalline solar cells.

  python -m ocrgan_jax.train --config=configs/demo.py --workdir=runs/demo
  python -m ocrgan_jax.evaluate --workdir=runs/demo

The method is the paper's; size, width and epochs are cut to minutes on two CPU cores.
"""

import ml_collections

from ocrgan_jax.configs import elpv


def get_config() -> ml_collections.ConfigDict:
  """ELPV mono at 64 pixels, width 8, 60 epochs."""
  config = elpv.get_config('mono')
  config.image_size = 64
  config.model.width = 8
  config.train.batch_size = 32
  config.train.epochs = 60
  return config
