"""Table V: what each component is worth.

python -m experiments.paper.table_5 --data_dir=…/mvtec_ad
"""

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, NOT_FORGED, Experiment, Row

EXPERIMENT = Experiment(
  name='table_5',
  title='Table V: components',
  config='mvtec',
  rows={
    '(1) baseline: one U-Net, nothing forged': Row(
      0.602, overrides={'model.branches': 1, **NOT_FORGED}
    ),
    '(2) baseline, forged': Row(0.685, overrides={'model.branches': 1}),
    '(3) FD, nothing forged': Row(
      0.748, overrides={'model.channel_selection': False, **NOT_FORGED}
    ),
    '(4) FD, forged': Row(0.772, overrides={'model.channel_selection': False}),
    '(5) FD and CS, nothing forged': Row(0.969, overrides=NOT_FORGED),
    '(6) the same, three branches': Row(0.975, overrides={'model.branches': 3, **NOT_FORGED}),
    '(7) FD and CS, CutOut': Row(0.974, overrides={'forgery.cutpaste': False}),
    '(8) FD and CS, CutPaste': Row(0.975, overrides={'forgery.cutout': False}),
    '(9) FD and CS, forged': Row(0.983),
  },
  categories=MVTEC_ALL,
  note='Rows (1) and (2) have one branch, like Skip-GANomaly; the paper prints BN = 2 there.',
)

if __name__ == '__main__':
  main(EXPERIMENT)
