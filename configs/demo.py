"""What `make demo` fits: band statistics of ELPV's monocrystalline solar cells.

python -m ocrgan_jax.train --config=configs/demo.py --workdir=runs/demo
python -m ocrgan_jax.evaluate --workdir=runs/demo
"""

import ml_collections

from ocrgan_jax.configs import elpv


def get_config() -> ml_collections.ConfigDict:
  """ELPV mono at 256 pixels by the recipe that detects best there: nothing is trained."""
  return elpv.get_config('mono,statistics')
