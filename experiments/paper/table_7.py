"""Table VII: which losses of G matter.

python -m experiments.paper.table_7 --data_dir=…/mvtec_ad
"""

import itertools

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Experiment, Row

LOSSES = {'content': 'L_con', 'adversarial': 'L_adv', 'latent': 'L_lat'}
CHOICES = [kept for n in (1, 2, 3) for kept in itertools.combinations(LOSSES, n)]
EXPERIMENT = Experiment(
  name='table_7',
  title='Table VII: losses of G',
  config='mvtec',
  rows={
    ' + '.join(LOSSES[name] for name in kept): Row(
      0.983 if len(kept) == len(LOSSES) else None,
      overrides={f'loss.{name}': 0.0 for name in LOSSES if name not in kept},
    )
    for kept in CHOICES
  },
  categories=MVTEC_ALL,
  note='The paper reports 0.963, 0.905, 0.945, 0.971, 0.950 and 0.976 for the other rows, but its '
  'text does not say which is which.',
)

if __name__ == '__main__':
  main(EXPERIMENT)
