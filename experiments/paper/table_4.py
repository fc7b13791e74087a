"""Table IV: CIFAR-10, both settings.

python -m experiments.paper.table_4 --data_dir=…/cifar10
"""

from experiments.paper.command import main
from experiments.paper.experiment import Experiment, Row

CLASSES = ('plane', 'car', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
REPORTED = {
  's1': (0.820, 0.789, 0.684, 0.789, 0.845, 0.808, 0.751, 0.896, 0.844, 0.722),
  's2': (0.999, 0.802, 0.825, 0.854, 0.985, 0.873, 0.986, 0.769, 0.998, 0.852),
}
ROWS = {
  f'{setting}-{name}': Row(value, f'{setting}-{name}')
  for setting, values in REPORTED.items()
  for name, value in zip(CLASSES, values, strict=True)
}
EXPERIMENT = Experiment(
  name='table_4',
  title='Table IV: CIFAR-10, one class normal (s1) or anomalous (s2)',
  config='cifar10',
  rows=ROWS,
  averages={
    f'average of {setting}': (tuple(f'{setting}-{name}' for name in CLASSES), value)
    for setting, value in (('s1', 0.795), ('s2', 0.894))
  },
)

if __name__ == '__main__':
  main(EXPERIMENT)
