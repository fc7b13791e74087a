"""Table VI: frequency bands alone and together.

python -m experiments.paper.table_6 --data_dir=…/mvtec_ad
"""

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, NOT_FORGED, Experiment, Row

EXPERIMENT = Experiment(
  name='table_6',
  title='Table VI: frequency bands',
  config='mvtec',
  rows={
    'the high band alone': Row(0.826, overrides={'model.bands': '2', **NOT_FORGED}),
    'the low band alone': Row(0.733, overrides={'model.bands': '1', **NOT_FORGED}),
    'both, without CS': Row(0.748, overrides={'model.channel_selection': False, **NOT_FORGED}),
    'both, with CS': Row(0.969, overrides=NOT_FORGED),
  },
  categories=MVTEC_ALL,
  note='The paper forges nothing in this table.',
)

if __name__ == '__main__':
  main(EXPERIMENT)
