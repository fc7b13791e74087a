"""Table III: KolektorSDD.

python -m experiments.paper.table_3 --data_dir=…/kolektor_sdd
"""

from experiments.paper.command import main
from experiments.paper.experiment import Experiment, Row

EXPERIMENT = Experiment(
  name='table_3',
  title='Table III: KolektorSDD',
  config='kolektor',
  rows={'KolektorSDD': Row(0.914)},
  note='The paper does not state its split. Here whole items go to training until it has 80 % of '
  'the normal images.',
)

if __name__ == '__main__':
  main(EXPERIMENT)
