"""The text of tables, from invented results."""

import importlib
import re
from pathlib import Path

import pytest

from experiments.configs import config_of, parse_overrides
from experiments.paper.experiment import Cell, Experiment, Results, Row
from experiments.paper.tables import BANDS, markdown, table_csv
from experiments.runner import VALIDATION
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.model.settings import build_model
from tests.conftest import REPOSITORY

EXPERIMENT = Experiment(
  name='some',
  title='Some',
  config='mvtec',
  rows={'tile': Row(0.955, 'tile'), 'wood': Row(0.957, 'wood')},
  averages={'average': (('tile', 'wood'), 0.956), 'all': (('tile', 'wood', 'grid'), None)},
)


def results(*, missing: bool = False, by_validation: bool = False) -> Results:
  outcomes = {}
  for row, values in {'tile': (0.5, 0.7), 'wood': (0.8, 0.8)}.items():
    for seed, value in enumerate(values):
      outcomes[Cell(row, row, seed)] = {
        'run': f'{row}{seed}',
        'last': value,
        'validation': value,
        VALIDATION: 0.75,
        'trivial': {'mean_brightness': 0.6, 'mean_energy': 0.55},
        BANDS: 0.9,
        'machine': 'a machine',
        'minutes': 1.0,
      }
  if missing:
    outcomes[Cell('wood', 'wood', 1)] = {'run': 'x', 'error': 'no folder'}
  experiment = EXPERIMENT._replace(by_validation=by_validation)
  return Results(experiment, outcomes, {cell: Path() for cell in outcomes}, {'model.width': 4})


def cells_of(text: str) -> dict[str, list[str]]:
  lines = [line.strip('| ').split(' | ') for line in text.splitlines() if ' | ' in line]
  return {label: cells for label, *cells in lines}


def test_rows_are_means_over_seeds_and_averages_are_means_over_rows() -> None:
  text = markdown(results())
  cells = cells_of(text)
  mean = '0.600 ± 0.100'
  assert cells['tile'] == [mean, mean, '0.600 ± 0.000', '0.900 ± 0.000', '0.955']
  assert cells['average'][0] == '0.700 ± 0.050'  # of 0.65 and 0.75
  assert cells['all'][0] == '–'  # grid was not run
  assert 'Changed from the paper: model.width=4.' in text
  lines = table_csv(results()).splitlines()
  assert lines[0].startswith('row,paper_last,paper_last_error,paper_validation')
  assert [*map(float, lines[1].split(',')[1:3])] == pytest.approx([0.6, 0.1])


def test_missing_runs_are_named_and_not_averaged_over() -> None:
  text = markdown(results(missing=True))
  cells = cells_of(text)
  assert cells['wood'][0] == cells['average'][0] == '–'
  assert cells['tile'][0] == '0.600 ± 0.100'
  assert 'Missing: wood, seed 1: no folder.' in text


def test_a_table_for_selection_shows_validation_first() -> None:
  text = markdown(results(by_validation=True))
  assert "| | the paper's training: held-out against forged | the paper's training: last |" in text
  assert '| tile | 0.750 ± 0.000 | 0.600 ± 0.100 |' in text


def test_every_row_is_a_model() -> None:
  folder = REPOSITORY / 'experiments/paper'
  for name in [path.stem for path in folder.glob('*_*.py') if 'EXPERIMENT' in path.read_text()]:
    chosen = importlib.import_module(f'experiments.paper.{name}').EXPERIMENT
    for row in chosen.rows.values():
      fields = {**chosen.common, **row.overrides}
      category = row.category or chosen.categories[0]
      build_model(config_of(chosen.config, category, 'paper', fields))


def test_overrides_have_the_type_of_their_field() -> None:
  texts = ['model.width=4', 'train.learning_rate=1', 'model.bands=2', 'forgery.cutout=False']
  found = parse_overrides(texts)
  assert [*found.values()] == [4, 1.0, '2', False]
  # As on the command line, D follows the width of G.
  assert config_of('mvtec', 'tile', 'paper', found).model.discriminator_width == 4


@pytest.mark.parametrize(
  'text, message',
  [
    ('model.widht=4', "there is no field 'model.widht'"),
    ('model.width=wide', "'wide' is no int"),
    ('seed=1', 'use --seeds, --categories and --data_dir instead'),
  ],
)
def test_bad_overrides_are_refused(text: str, message: str) -> None:
  with pytest.raises(InputError, match=re.escape(message)):
    parse_overrides([text])
