"""Compares the settings that the paper leaves open, by validation.

  python -m experiments.paper.open_choices --data_dir=…/mvtec_ad

The setting to use is the one that best tells held-out normal images from their forged copies.
The results on the test set are shown, but not used for selection.
"""

from typing import Any

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Experiment, Row

# Row → overrides.
CHOICES: dict[str, dict[str, Any]] = {
  "rate 2e-3, decay 1e-4: the paper's": {},
  "rate 2e-4, no decay: the release's": {'train.learning_rate': 2e-4, 'train.weight_decay': 0.0},
  'rate 2e-3, no decay': {'train.weight_decay': 0.0},
  'rate 2e-4, decay 1e-4': {'train.learning_rate': 2e-4},
  'the square in Eq. 13': {'score.content_distance': 'squared'},
  **{f'{epochs} epochs': {'train.epochs': epochs} for epochs in (25, 50, 100, 200, 400)},
  **{f'width {width}': {'model.width': width} for width in (2, 4, 8, 16)},
}
EXPERIMENT = Experiment(
  name='open_choices',
  title='What the paper leaves open',
  config='mvtec',
  rows={label: Row(None, overrides=overrides) for label, overrides in CHOICES.items()},
  categories=MVTEC_ALL,
  by_validation=True,
)

if __name__ == '__main__':
  main(EXPERIMENT)
