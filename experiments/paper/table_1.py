"""Table I: the fifteen categories of MVTec AD.

python -m experiments.paper.table_1 --data_dir=…/mvtec_ad
"""

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC, MVTEC_ALL, Experiment, Row

# The paper's last column: 'Ours' with forged images.
REPORTED = {
  'carpet': 0.994,
  'grid': 0.996,
  'leather': 0.971,
  'tile': 0.955,
  'wood': 0.957,
  'bottle': 0.996,
  'cable': 0.991,
  'capsule': 0.962,
  'hazelnut': 0.985,
  'metal_nut': 0.995,
  'pill': 0.983,
  'screw': 1.0,
  'toothbrush': 0.987,
  'transistor': 0.983,
  'zipper': 0.990,
}
EXPERIMENT = Experiment(
  name='table_1',
  title='Table I: MVTec AD',
  config='mvtec',
  rows={name: Row(value, name) for name, value in REPORTED.items()},
  averages={
    'average of textures': (MVTEC['textures'], 0.975),
    'average of objects': (MVTEC['objects'], 0.987),
    'average of all': (MVTEC_ALL, 0.983),
  },
)

if __name__ == '__main__':
  main(EXPERIMENT)
