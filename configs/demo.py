"""The model of `make demo`: heads over the bands of ELPV's monocrystalline solar cells.

ocrgan train --config=demo --workdir=runs/demo
ocrgan evaluate --workdir=runs/demo
"""

import ml_collections

from ocrgan_jax.configs import elpv


def get_config() -> ml_collections.ConfigDict:
  """ELPV mono at 256 pixels. Trains nothing."""
  return elpv.get_config('mono,bands')
