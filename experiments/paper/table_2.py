"""Table II: the ten classes of DAGM 2007.

python -m experiments.paper.table_2 --data_dir=…/dagm
"""

from experiments.paper.command import main
from experiments.paper.experiment import Experiment, Row

REPORTED = (0.991, 1.0, 0.991, 0.99, 1.0, 0.975, 0.998, 0.998, 0.995, 0.992)
ROWS = {f'Class{i}': Row(value, f'Class{i}') for i, value in enumerate(REPORTED, 1)}
EXPERIMENT = Experiment(
  name='table_2',
  title='Table II: DAGM 2007',
  config='dagm',
  rows=ROWS,
  averages={'average': (tuple(ROWS), 0.993)},
)

if __name__ == '__main__':
  main(EXPERIMENT)
