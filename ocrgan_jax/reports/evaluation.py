"""Evaluates a trained model on its test set."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import check_writable, user_path, write_json, write_text
from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.datasets import prepare_dataset, prepare_test_set
from ocrgan_jax.data.examples import NORMAL, UNLABELLED, holds_images, no_sound_folder
from ocrgan_jax.data.images import Images, hold_out, load_images, load_normal_images
from ocrgan_jax.data.inspection import print_warnings
from ocrgan_jax.data.masks import load_masks
from ocrgan_jax.inference.loading import load_each
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports import several_runs
from ocrgan_jax.reports.leaks import count_leaked
from ocrgan_jax.reports.report import write_report
from ocrgan_jax.reports.scored_test_set import score_test_set
from ocrgan_jax.reports.summary import scores_table, summarize
from ocrgan_jax.reports.trivial import BANDS, NEAREST
from ocrgan_jax.reports.twins import TWINS_UNKNOWN, without_twins
from ocrgan_jax.runs import run_folder
from ocrgan_jax.scoring.metrics import image_auroc
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.recalibration import fit_bands_beside, with_score

ORACLE_NOTE = (
  "oracle: the checkpoint was selected by its AUROC on this test set, as in the paper's release; "
  'do not expect the numbers below on other images'
)


def evaluate(
  workdir: str | Path,
  *,
  protocol: str = 'last',
  data_dir: str = '',
  test_dir: str = '',
  score: dict[str, Any] | None = None,
  output: str | Path = '',
  pictures: bool = True,
  bands: bool = True,
) -> dict[str, Any]:
  """Scores the test set and writes `metrics.json`, `scores.csv`, `report.html` and pictures.

  Args:
    workdir: the run's folder.
    protocol: which checkpoint: 'last', the headline; 'validation', the best at telling held-out
      normal images from forged copies; or 'oracle', the best on the test set among those kept.
    data_dir: the dataset's folder, if it has moved since training.
    test_dir: the folder of test images, for the dataset `folder`. It is enough: without the
      training photographs, only the comparisons with them are left out.
    score: fields of the config's section `score` to change; scale and threshold are then fitted
      to the held-out images again.
    output: folder for the results. By default the run's folder, or its subfolder `validation` or
      `oracle` for these protocols.
    pictures: whether to draw figures and the report.
    bands: whether to also fit the recipe `bands`, for comparison, if networks were trained.

  Returns:
    The content of `metrics.json`.

  Raises:
    InputError: if the run, its data, the protocol or the score cannot be used.
  """
  workdir = user_path(workdir)
  if score and not output:
    raise InputError("--score differs from the run's: give a folder for the results with --output")
  folder = output_folder(workdir, protocol, output)
  config = run_folder.load_config(workdir)
  for name in ('metrics.json', 'figures/x'):
    check_writable(folder / name, '--output')
  if test_dir and config.data.dataset != 'folder':
    raise InputError(
      f'--test_dir is for the dataset folder, but the run in {workdir} is of '
      f'{config.data.dataset}; give the folder of its data with --data_dir'
    )
  config.data.test_dir = test_dir or config.data.test_dir
  data_dir = data_dir or config.data_dir
  lacks_training = bool(config.data.test_dir) and not holds_images(data_dir)
  if lacks_training:
    _tell_what_is_skipped(data_dir, needs_training=bool(score))
    dataset = prepare_test_set(config.data)
  else:
    dataset = prepare_dataset(data_dir, config.data)
  print_warnings(dataset.report)
  test = dataset.test
  if not test.names:
    raise InputError('the dataset has no test images to evaluate; give some with --test_dir')
  trained_on, shared = run_folder.training_set(workdir), run_folder.shared_with_test(workdir)
  num_leaked = count_leaked(trained_on, shared, dataset)
  framing, gib = run_folder.load_framing(workdir, config), config.data.memory_gib
  images = load_images(test, framing, memory_gib=gib, description='decoding test images')
  scorers = load_each(workdir, protocol)
  if score:
    run_folder.check_training_set(workdir, dataset.train.digests)
  normal, compares = None, bands and config.score.kind != 'heads'
  if (score or compares) and trained_on == dataset.train.digests:
    chosen, held_out = hold_out(dataset.train.groups, config.data.validation_share, config.seed)
    normal = load_normal_images(
      dataset.train, framing, chosen=chosen, held_out=held_out, memory_gib=gib
    )
  elif compares and not lacks_training:
    change = run_folder.describe_change(trained_on, dataset.train.digests)
    print(
      f'warning: the training images have changed since training ({change}); '
      'leaving out the comparison with the recipe bands',
      file=sys.stderr,
    )
  if score and normal:
    scorers = (with_score(scorer, score, normal) for scorer in scorers)
  scorer = next(scorers)
  oracle: dict[str, Any] = {}
  if protocol == 'oracle':
    scorer, oracle = best_on_test_set(itertools.chain([scorer], scorers), images, test)

  masks = load_masks(test, config.image_size) if dataset.report['masks'] else {}
  tested = score_test_set(scorer, test, images, masks, pictures=pictures)
  if normal and compares:
    tested.trivial[BANDS] = fit_bands_beside(scorer, normal).score(images)
  if test.similarity is not None:
    tested.trivial[NEAREST] = -test.similarity
  scaled = scorer.scale(tested.scores.astype(np.float64))
  metrics = {
    'protocol': protocol,
    **oracle,
    'step': scorer.step,
    'seed': config.seed,
    'score': scorer.config.score.to_dict(),
    **summarize(tested, scorer.calibration),
    **(
      TWINS_UNKNOWN
      if lacks_training
      else without_twins(test, np.isin(test.groups, dataset.train.groups), scaled)
    ),
    'num_test_images_trained_on': num_leaked,
  }
  write_json(folder / 'metrics.json', metrics)
  write_text(folder / 'scores.csv', scores_table(test, tested.scores, scorer.calibration))
  if pictures:
    log = read_lines(workdir / 'metrics.jsonl')
    write_report(folder, tested, scorer=scorer, metrics=metrics, log=log)
  return metrics


def _tell_what_is_skipped(data_dir: str, *, needs_training: bool) -> None:
  """Says what an evaluation without the training photographs leaves out.

  Raises:
    InputError: if it cannot do without them.
  """
  if needs_training:
    raise InputError(
      f'--score fits the scale to the training photographs, and there are none in {data_dir}; '
      'give their folder with --data_dir'
    )
  print(
    f'warning: no training photographs in {data_dir} (--data_dir says where else): leaving out the '
    'comparison with the recipe bands and the search for parts that training shows, too; copies of '
    'training photographs are found all the same',
    file=sys.stderr,
  )


def output_folder(workdir: str | Path, protocol: str, output: str | Path = '') -> Path:
  """Returns the folder for the results: `output`, or the default for the protocol."""
  return user_path(output or (workdir if protocol == 'last' else Path(workdir) / protocol))


def best_on_test_set(
  scorers: Iterator[Scorer], images: Images, test: Split
) -> tuple[Scorer, dict[str, Any]]:
  """Selects the best checkpoint on the test set, only for the protocol `oracle`.

  Args:
    scorers: of the checkpoints.
    images: of the test set.
    test: the test set.

  Returns:
    The scorer with the highest AUROC, the latest if several are equal, and the entries of
    `metrics.json` about the selection.

  Raises:
    InputError: if the AUROC is undefined.
  """
  known = test.labels != UNLABELLED
  best, aurocs = None, {}
  for scorer in scorers:
    auroc = image_auroc(test.labels[known], scorer.score(images)[known])
    if auroc is None:
      lacks_sound = known.any() and NORMAL not in test.labels
      why = f' ({no_sound_folder(test.defect_types)})' if lacks_sound else ''
      raise InputError(
        f'the test set lacks a labelled class{why}, so there is no AUROC to select by; '
        "use the protocol 'last' or 'validation'"
      )
    aurocs[scorer.step] = auroc
    if auroc >= max(aurocs.values()):
      best = scorer
  assert best is not None
  note = f'{ORACLE_NOTE} ({len(aurocs)} checkpoints were kept)'
  return best, {'oracle_note': note, 'oracle_aurocs': aurocs}


def evaluate_several(workdir: Path, folders: list[Path], protocol: str, **options: Any) -> str:
  """Evaluates the runs in a folder and writes a table of them.

  Args:
    workdir: the folder of the runs.
    folders: of the runs.
    protocol: of `evaluate`.
    **options: of `evaluate`.

  Returns:
    The table as text.

  Raises:
    InputError: as `evaluate`, naming the run.
  """
  check_writable(workdir / 'table.csv', '--workdir: a copy that you may write to')
  evaluated = {}
  for folder in folders:
    print(f'evaluating {folder}', file=sys.stderr)
    try:
      evaluated[folder] = evaluate(folder, protocol=protocol, **options)
    except InputError as error:
      raise InputError(f'{folder}: {error}') from None
  return several_runs.write(workdir, several_runs.build_rows(workdir, evaluated), protocol)
