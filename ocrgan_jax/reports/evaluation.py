"""Evaluates a trained model on its test set."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import check_writable, user_path, write_json, write_text
from ocrgan_jax.data.builder import Prepared, Split
from ocrgan_jax.data.datasets import prepare_dataset, prepare_test_set
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  NORMAL,
  UNLABELLED,
  holds_images,
  no_sound_folder,
)
from ocrgan_jax.data.images import Images, NormalImages, hold_out, load_images, load_normal_images
from ocrgan_jax.data.inspection import print_warnings
from ocrgan_jax.data.masks import load_masks
from ocrgan_jax.inference.loading import load_each
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports import several_runs
from ocrgan_jax.reports.leaks import count_leaked
from ocrgan_jax.reports.report import write_report
from ocrgan_jax.reports.scored_test_set import score_test_set
from ocrgan_jax.reports.summary import scores_table, summarize
from ocrgan_jax.reports.twins import TWINS_UNKNOWN, without_twins
from ocrgan_jax.runs import run_folder
from ocrgan_jax.scoring.metrics import image_auroc
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
  with_bands: bool = False,
) -> dict[str, Any]:
  """Scores the test set and writes `metrics.json`, `scores.csv`, `report.html` and figures.

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
    with_bands: whether to also fit the recipe `bands` to the run's training photographs, and to
      add its AUROC on the same test images as `image_auroc_bands`.

  Returns:
    The content of `metrics.json`.

  Raises:
    InputError: if the run, its data, the protocol or the score cannot be used.
  """
  workdir = user_path(workdir)
  if score and not output:
    raise InputError("--score differs from the run's: give a folder for the results with --output")
  folder = output_folder(workdir, protocol, output)
  config = _load_config(workdir, data_dir, test_dir)
  for name in ('metrics.json', 'figures/x'):
    check_writable(folder / name, '--output')
  refits = bool(score) or with_bands
  dataset = _prepare(config, needs_training=refits)
  num_leaked = count_leaked(
    run_folder.training_set(workdir), run_folder.shared_with_test(workdir), dataset
  )
  normal = _load_normal_images(workdir, config, dataset.train) if refits else None
  scorers = load_each(workdir, protocol)
  if score and normal:
    scorers = (with_score(scorer, score, normal) for scorer in scorers)
  scorer = next(scorers)
  oracle: dict[str, Any] = {}
  test, memory_gib = dataset.test, config.data.memory_gib
  images = load_images(test, scorer.framing, memory_gib=memory_gib, description='decoding')
  if protocol == 'oracle':
    scorer, oracle = best_on_test_set(itertools.chain([scorer], scorers), images, test)

  masks = load_masks(test, config.image_size) if dataset.report['masks'] else {}
  tested = score_test_set(scorer, test, images, masks, pictures=pictures)
  metrics = {
    'protocol': protocol,
    **oracle,
    'step': scorer.step,
    'seed': config.seed,
    'score': scorer.config.score.to_dict(),
    **summarize(tested, scorer.calibration),
    **_compare_parts(dataset, scorer.scale(tested.scores.astype(np.float64))),
    'num_test_images_trained_on': num_leaked,
  }
  if with_bands and normal:
    metrics['image_auroc_bands'] = _auroc(fit_bands_beside(scorer, normal), images, test)
  write_json(folder / 'metrics.json', metrics)
  write_text(folder / 'scores.csv', scores_table(test, tested.scores, scorer.calibration))
  if pictures:
    write_report(folder, tested, scorer=scorer, metrics=metrics, workdir=workdir)
  return metrics


def output_folder(workdir: str | Path, protocol: str, output: str | Path = '') -> Path:
  """Returns the folder for the results: `output`, or the default for the protocol."""
  return user_path(output or (workdir if protocol == 'last' else Path(workdir) / protocol))


def _load_config(workdir: Path, data_dir: str, test_dir: str) -> ml_collections.ConfigDict:
  """Reads the config of a run, and changes where its images are."""
  config = run_folder.load_config(workdir)
  if test_dir and config.data.dataset != 'folder':
    raise InputError(
      f'--test_dir is for the dataset folder, but the run in {workdir} is of '
      f'{config.data.dataset}; give the folder of its data with --data_dir'
    )
  config.data_dir = data_dir or config.data_dir
  config.data.test_dir = test_dir or config.data.test_dir
  return config


def _prepare(config: ml_collections.ConfigDict, *, needs_training: bool) -> Prepared:
  """Prepares the dataset of a run; without its training photographs, the test set alone.

  Raises:
    InputError: if the dataset cannot be used, lacks test images, or lacks training photographs
      that are needed.
  """
  if not config.data.test_dir or holds_images(config.data_dir):
    dataset = prepare_dataset(config.data_dir, config.data)
  elif needs_training:
    raise InputError(
      '--score and --with_bands are fitted to the training photographs, and there are none in '
      f'{config.data_dir}; give their folder with --data_dir'
    )
  else:
    print(
      f'warning: no training photographs in {config.data_dir} (--data_dir says where else): '
      'leaving out the search for parts that training shows, too; copies of training photographs '
      'are found all the same',
      file=sys.stderr,
    )
    dataset = prepare_test_set(config.data)
  print_warnings(dataset.report)
  if not dataset.test.names:
    raise InputError('the dataset has no test images to evaluate; give some with --test_dir')
  return dataset


def _load_normal_images(
  workdir: Path, config: ml_collections.ConfigDict, train: Split
) -> NormalImages:
  """Loads the training images; raises InputError if the run was fitted to others."""
  run_folder.check_training_set(workdir, train.digests)
  chosen, held_out = hold_out(train.groups, config.data.validation_share, config.seed)
  framing, gib = run_folder.load_framing(workdir, config), config.data.memory_gib
  return load_normal_images(train, framing, chosen=chosen, held_out=held_out, memory_gib=gib)


def best_on_test_set(
  scorers: Iterator[Scorer], images: Images, test: Split
) -> tuple[Scorer, dict[str, Any]]:
  """Selects the best checkpoint on the test set, only for the protocol `oracle`.

  Returns:
    The scorer with the highest AUROC, the latest if several are equal, and the entries of
    `metrics.json` about the selection.

  Raises:
    InputError: if the AUROC is undefined.
  """
  best, aurocs = None, {}
  for scorer in scorers:
    auroc = _auroc(scorer, images, test)
    if auroc is None:
      lacks_sound = NORMAL not in test.labels and ANOMALOUS in test.labels
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


def _auroc(scorer: Scorer, images: Images, test: Split) -> float | None:
  """The AUROC of a model on the labelled test images; None if a class is missing."""
  known = test.labels != UNLABELLED
  return image_auroc(test.labels[known], scorer.score(images)[known])


def _compare_parts(dataset: Prepared, scores: np.ndarray) -> dict[str, Any]:
  """The entries of `metrics.json` about test images of parts that training shows, too."""
  if not dataset.train.names:
    return TWINS_UNKNOWN
  known = np.isin(dataset.test.groups, dataset.train.groups)
  return without_twins(dataset.test, known, scores)


def evaluate_several(workdir: Path, folders: list[Path], protocol: str, **options: Any) -> str:
  """Evaluates the runs in a folder and writes a table of them.

  Args:
    workdir: the folder of the runs.
    folders: of the runs.
    protocol: of `evaluate`, like the options.
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
