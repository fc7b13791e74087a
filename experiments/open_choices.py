"""What the paper leaves open, by validation: `python -m experiments.open_choices --data_dir=…`.

Held-out normal images are told from copies with forgeries that training does not use; what does
that best is what a reader of the paper should take. The test set stands beside it, to be seen.
"""

from experiments.command import main
from experiments.experiment import MVTEC_ALL, Experiment, Row

EPOCHS = (25, 50, 100, 200, 400)
WIDTHS = (2, 4, 8, 16)
PAPER = ('paper',)
EXPERIMENT = Experiment(
  name='open_choices',
  title='What the paper leaves open',
  config='mvtec',
  rows={
    "rate 2e-3, decay 1e-4: the paper's": Row(None, recipes=PAPER),
    "rate 2e-4, no decay: the release's": Row(
      None, overrides={'train.learning_rate': 2e-4, 'train.weight_decay': 0.0}, recipes=PAPER
    ),
    'rate 2e-3, no decay': Row(None, overrides={'train.weight_decay': 0.0}, recipes=PAPER),
    'rate 2e-4, decay 1e-4': Row(None, overrides={'train.learning_rate': 2e-4}, recipes=PAPER),
    'the square in Eq. 13': Row(
      None, overrides={'score.content_distance': 'squared'}, recipes=PAPER
    ),
    **{
      f'{epochs} epochs': Row(None, overrides={'train.epochs': epochs}, recipes=PAPER)
      for epochs in EPOCHS
    },
    **{
      f'width {width}': Row(None, overrides={'model.width': width}, recipes=PAPER)
      for width in WIDTHS
    },
  },
  common={'paper': {'forgery.validation': 'unseen'}},
  categories=MVTEC_ALL,
  by_validation=True,
)

if __name__ == '__main__':
  main(EXPERIMENT)
