"""The text of tables, from invented results."""

import re
from pathlib import Path

import pytest

from experiments.configs import config_of, parse_overrides
from experiments.paper.experiment import Cell, Experiment, Results, Row
from experiments.paper.tables import markdown, table_csv
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.reports.trivial import BANDS
from ocrgan_jax.runs.checkpoint import VALIDATION

EXPERIMENT = Experiment(
  name='some',
  title='Some',
  config='mvtec',
  rows={'tile': Row(0.955, 'tile'), 'wood': Row(0.957, 'wood')},
  averages={'average': (('tile', 'wood'), 0.956), 'all': (('tile', 'wood', 'grid'), None)},
)


def results(*, missing: bool) -> Results:
  outcomes = {}
  for row, values in {'tile': (0.5, 0.7), 'wood': (0.8, 0.8)}.items():
    for seed, value in enumerate(values):
      outcomes[Cell(row, 'paper', row, seed)] = {
        'run': f'{row}{seed}',
        'last': value,
        'validation': value,
        'trivial': {'mean_brightness': 0.6, BANDS: 0.9},
        'machine': 'a machine',
        'minutes': 1.0,
      }
  if missing:
    outcomes[Cell('wood', 'paper', 'wood', 1)] = {'run': 'x', 'error': 'no folder'}
  return Results(EXPERIMENT, outcomes, {cell: Path() for cell in outcomes}, {'model.width': 4})


def test_rows_are_means_over_seeds_and_averages_are_means_over_rows() -> None:
  lines = markdown(results(missing=False)).splitlines()
  cells = {line.split(' | ')[0]: line.split(' | ')[1:] for line in lines if ' | ' in line}
  assert cells['| tile'] == [
    '0.600 ± 0.100',
    '0.600 ± 0.100',
    '0.600 ± 0.000',
    '0.900 ± 0.000',
    '0.955 |',
  ]
  assert cells['| average'][0] == '0.700 ± 0.050'  # of 0.65 and 0.75
  assert 'Changed from the paper: model.width=4.' in lines


def test_missing_runs_are_named_and_not_averaged_over() -> None:
  text = markdown(results(missing=True))
  cells = {
    line.split(' | ')[0]: line.split(' | ')[1:] for line in text.splitlines() if ' | ' in line
  }
  assert cells['| wood'][0] == cells['| average'][0] == cells['| all'][0] == '–'
  assert cells['| tile'][0] == '0.600 ± 0.100'
  assert "Missing: wood (the paper's training, seed 1): no folder." in text


def test_the_csv_has_the_same_numbers() -> None:
  lines = table_csv(results(missing=False)).splitlines()
  assert lines[0].startswith('row,paper_last,paper_last_error,paper_validation')
  name, mean, error, *_ = lines[1].split(',')
  assert (name, float(mean), float(error)) == ('tile', pytest.approx(0.6), pytest.approx(0.1))


def test_a_table_for_selection_shows_validation_first() -> None:
  found = results(missing=False)
  for outcome in found.outcomes.values():
    outcome[VALIDATION] = 0.75
  text = markdown(found._replace(experiment=EXPERIMENT._replace(by_validation=True)))
  assert "| | the paper's training: held-out against forged | the paper's training: last |" in text
  assert '| tile | 0.750 ± 0.000 | 0.600 ± 0.100 |' in text


@pytest.mark.parametrize(
  'text, told',
  [
    ('model.widht=4', "there is no field 'model.widht'"),
    ('model.width=wide', "'wide' is no int"),
    ('seed=1', 'use --seeds, --categories and --data_dir instead'),
  ],
)
def test_bad_overrides_are_refused(text: str, told: str) -> None:
  with pytest.raises(InputError, match=re.escape(told)):
    parse_overrides([text], config_of('mvtec', 'tile', 'paper'))


def test_d_follows_the_width_of_g_as_on_the_command_line() -> None:
  fields = {'model.width': 4}
  assert config_of('mvtec', 'tile', 'paper', fields).model.discriminator_width == 4
  with pytest.raises(InputError, match="there is no config 'mvtec_ad'; there are cifar10, "):
    config_of('mvtec_ad', 'tile', 'paper')
