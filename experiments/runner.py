"""Runs each config of a list once: one by one, several side by side, or on a cluster.

Each run has a folder `<workdir>/<name>`, where the name is a hash of its config. When a run has
been trained and evaluated, a line with its results is added to `<workdir>/results.jsonl`, and it
is never run again. An interrupted run resumes. Several runners may share a work folder.
"""

import contextlib
import fcntl
import hashlib
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from ocrgan_jax.data.decode_cache import cache_decoded_images
from tqdm import tqdm

from experiments.benchmark.machine import machine
from ocrgan_jax.configs import default
from ocrgan_jax.core.checks import flat_fields
from ocrgan_jax.core.errors import InputError, InUse
from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.images import Images, hold_out, load_images
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.runs import checkpoint, run_folder
from ocrgan_jax.runs.checkpoint import PROTOCOLS, VALIDATION
from ocrgan_jax.runs.ownership import owned
from ocrgan_jax.training.group import train_several
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.run import resolve
from ocrgan_jax.training.train import train

# Fields that do not affect the result: where the images are and how they are loaded.
NOT_IN_THE_NAME = (
  'data_dir',
  'data.test_dir',
  'data.prepared_dir',
  'data.memory_gib',
  'data.workers',
  'train.pictures',
  'train.track',
)
# Metrics of the last checkpoint that go into a line of results.
KEPT = (
  'image_auroc_interval',
  'trivial',
  'pixel_auroc',
  'aupro',
  'recall',
  'false_alarm_rate',
  'num_normal',
  'num_anomalous',
  'num_held_out',
)
WAIT_SECONDS = 5.0  # between checks of a run that another runner is working on

Row = dict[str, Any]


def name_of(config: ml_collections.ConfigDict) -> str:
  """The name of a run: a hash of the config fields that affect its result."""
  fields = {k: v for k, v in flat_fields(config).items() if k not in NOT_IN_THE_NAME}
  text = json.dumps(fields, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def results(workdir: Path) -> dict[str, Row]:
  """The lines of `results.jsonl`, by the names of their runs."""
  return {row['run']: row for row in read_lines(workdir / 'results.jsonl')}


def run_all(
  configs: Sequence[ml_collections.ConfigDict],
  workdir: Path,
  *,
  together: int = 1,
  cluster: str = '',
  devices: int = 1,
) -> dict[str, Row]:
  """Trains and evaluates every run of a list that has no results yet.

  Args:
    configs: the configs of the runs; equal configs are one run.
    workdir: the folder of all runs.
    together: how many models of one shape to train side by side, with one compiled program.
    cluster: 'slurm' or 'local' to submit each run as a job with submitit; '' to run it here.
    devices: accelerators of each job.

  Returns:
    Name of a run → its line of results, or {'run': name, 'error': message}.

  Raises:
    InputError: if the images of a finished run have changed, or the cluster is not available.
  """
  workdir = workdir.absolute()
  wanted = {name_of(config): resolve(config) for config in configs}
  done = results(workdir)
  to_do = {name: config for name, config in wanted.items() if name not in done}
  earlier = {name: config for name, config in wanted.items() if name in done}
  _check_images(earlier, done, workdir)
  for name in earlier:  # its runner may have been killed before it did this
    _prune(workdir / name)
  # Sorted by dataset, so that each dataset's images are decoded once.
  by_dataset = lambda item: (item[1].data.dataset, item[1].data.category)
  to_do = dict(sorted(to_do.items(), key=by_dataset))
  found = {name: done[name] for name in wanted if name in done}
  with tqdm(total=len(wanted), initial=len(wanted) - len(to_do), desc='runs', unit='run') as bar:
    outcomes = (
      _on_cluster(to_do, workdir, cluster, devices) if cluster else _here(to_do, workdir, together)
    )
    for rows in outcomes:
      found |= {row['run']: row for row in rows}
      for row in rows:
        if 'error' in row:
          bar.write(f'failed: {row["run"]}: {row["error"]}', file=sys.stderr)
      bar.update(len(rows))
  return {name: found[name] for name in wanted}


def _here(
  to_do: dict[str, ml_collections.ConfigDict], workdir: Path, together: int
) -> Iterator[list[Row]]:
  """Runs in this process, and waits for runs that other runners are working on."""
  waiting = list(_groups(to_do, together))
  with cache_decoded_images():
    while waiting:
      busy = []
      for group in waiting:
        try:
          yield _run_group(group, workdir)
        except InUse:
          busy.append(group)
        jax.clear_caches()  # each shape has its own program
      if busy == waiting:
        time.sleep(WAIT_SECONDS)
      waiting = busy


def _groups(
  to_do: dict[str, ml_collections.ConfigDict], together: int
) -> Iterator[dict[str, ml_collections.ConfigDict]]:
  """Groups runs that can share a compiled program, up to `together` in each group."""
  shapes: dict[Any, list[str]] = {}
  for name, config in to_do.items():
    try:
      shape: Any = (build_model(config), config.train.batch_size) if together > 1 else name
    except InputError:  # reported when it is run
      shape = name
    shapes.setdefault(shape, []).append(name)
  for names in shapes.values():
    for start in range(0, len(names), together):
      yield {name: to_do[name] for name in names[start : start + together]}


def _run_group(group: dict[str, ml_collections.ConfigDict], workdir: Path) -> list[Row]:
  """Trains and evaluates runs of one shape.

  Returns:
    Their lines of results, already written to the file, or their errors.

  Raises:
    InUse: if another runner is working on one of them.
  """
  with contextlib.ExitStack() as stack:
    for name in group:
      stack.enter_context(owned(workdir / 'locks' / name))
    return _run_owned(group, workdir)


def _run_owned(group: dict[str, ml_collections.ConfigDict], workdir: Path) -> list[Row]:
  done = results(workdir)  # another runner may have finished some of them
  left = {name: config for name, config in group.items() if name not in done}
  earlier = [done[name] for name in group if name in done]
  message = ''
  try:
    _train(left, workdir)
    rows = [_measure(name, config, workdir) for name, config in left.items()]
  except InUse:
    raise
  except Exception as error:
    if not isinstance(error, InputError):
      traceback.print_exc()
    message = str(error).partition('\n')[0] or type(error).__name__
  # Outside of `except`, since there the error would keep the group's states in memory.
  if message and len(left) > 1:  # run them one by one: find the bad one, finish the others
    return earlier + [row for name in left for row in _run_owned({name: left[name]}, workdir)]
  if message:
    return earlier + [{'run': name, 'error': message} for name in left]
  for row in rows:
    append(workdir / 'results.jsonl', row)
    _prune(workdir / row['run'])
  return earlier + rows


def _prune(folder: Path) -> None:
  """Removes all checkpoints of a finished run except the last and the best."""
  try:
    if (folder / 'checkpoints').exists():
      checkpoint.keep_last_and_best(folder)
  except OSError as error:
    print(f'warning: checkpoints are left in {folder}: {error}', file=sys.stderr)


def _check_images(
  configs: dict[str, ml_collections.ConfigDict], done: dict[str, Row], workdir: Path
) -> None:
  """Raises an InputError if a finished run used other images. Missing images are accepted."""
  found: dict[str, str] = {}
  for name, config in configs.items():
    where = json.dumps([config.data_dir, config.data.to_dict()])
    if where not in found:
      try:
        found[where] = images_of(config)
      except InputError:
        found[where] = ''
    if found[where] and done[name].get('images', found[where]) != found[where]:
      raise InputError(
        f'run {name} in {workdir / "results.jsonl"} is of other images than those in '
        f'{config.data_dir}; use another --workdir'
      )


def images_of(config: ml_collections.ConfigDict) -> str:
  """A hash of the training and test images of a config."""
  dataset = prepare_dataset(config.data_dir, config.data)
  text = json.dumps([dataset.train.digests, dataset.test.digests])
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _train(group: dict[str, ml_collections.ConfigDict], workdir: Path) -> None:
  if len(group) > 1:
    train_several([*group.values()], [workdir / name for name in group])
  else:
    for name, config in group.items():
      train(config, workdir / name)


def _measure(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Row:
  """Evaluates a trained run under all protocols and returns its line of results."""
  folder = workdir / name
  protocols = PROTOCOLS if config.train.keep_checkpoints else PROTOCOLS[:2]
  metrics: dict[str, dict[str, Any]] = {}
  for protocol in protocols:  # 'last' first
    if metrics and checkpoint.steps(folder, protocol) == checkpoint.steps(folder, 'last'):
      metrics[protocol] = metrics['last']
    else:
      options: dict[str, Any] = {'pictures': False, 'bands': not metrics}
      metrics[protocol] = evaluate(folder, protocol=protocol, **options)
  log = read_lines(folder / 'metrics.jsonl')
  validated = [line[VALIDATION] for line in log if VALIDATION in line]
  known = flat_fields(default.get_config().copy_and_resolve_references())
  fields = flat_fields(config)
  return {
    'run': name,
    'config': {k: v for k, v in fields.items() if v != known[k] and k not in NOT_IN_THE_NAME},
    **{protocol: metrics[protocol]['image_auroc'] for protocol in protocols},
    # How many checkpoints the oracle chose from.
    'checkpoints': len(checkpoint.steps(folder, protocols[-1])),
    VALIDATION: validated[-1],
    **{key: metrics['last'].get(key) for key in KEPT},
    'steps': metrics['last']['step'],
    'minutes': round(minutes_of(log, len(run_folder.training_set(folder)), config), 2),
    'images': images_of(config),
    'machine': machine(),
  }


def minutes_of(log: Sequence[Row], count: int, config: ml_collections.ConfigDict) -> float:
  """The minutes a run spent in training steps, by the rates in its log.

  Args:
    log: the lines of its log, from all its sessions.
    count: number of normal images, including held-out ones.
    config: the config of the run.

  Returns:
    Minutes.
  """
  in_an_epoch = len(hold_out(np.arange(count), config.data.validation_share, config.seed)[0])
  seconds, last = 0.0, 0.0
  for line in log:
    if 'images_per_second' in line:
      seconds += (line['epoch'] - last) * in_an_epoch / line['images_per_second']
      last = line['epoch']
  return seconds / 60


def _on_cluster(
  to_do: dict[str, ml_collections.ConfigDict], workdir: Path, cluster: str, devices: int
) -> Iterator[list[Row]]:
  """Submits each run as a job and waits for their results.

  Raises:
    InputError: if submitit or the cluster is not available.
  """
  try:
    import submitit  # needed only here

    executor = submitit.AutoExecutor(folder=workdir / 'jobs', cluster=cluster)
  except ImportError:
    raise InputError('--cluster needs submitit: pip install submitit') from None
  except (RuntimeError, ValueError) as error:  # for example, there is no srun
    raise InputError(f'--cluster={cluster}: {error}') from None
  executor.update_parameters(name='ocrgan', timeout_min=24 * 60, cpus_per_task=8)
  if cluster == 'slurm':
    executor.update_parameters(gpus_per_node=devices)
  with executor.batch():
    jobs = {name: executor.submit(run_all, [config], workdir) for name, config in to_do.items()}
  for name, job in jobs.items():
    try:
      yield [job.result()[name]]
    except Exception as error:  # from the job or from the cluster
      yield [{'run': name, 'error': str(error).strip().rpartition('\n')[2]}]


def append(path: Path, row: Row) -> None:
  """Adds a line to a file that other processes may write to, after its last complete line."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open('a+b') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0)
    file.truncate(file.read().rfind(b'\n') + 1)
    file.write(json.dumps(row).encode() + b'\n')


def load_tested(folder: str | Path) -> tuple[Scorer, Prepared, Images]:
  """Loads the model of a run, its dataset, and the images of its test set."""
  scorer = load(folder)
  dataset = prepare_dataset(scorer.config.data_dir, scorer.config.data)
  memory_gib = scorer.config.data.memory_gib
  return scorer, dataset, load_images(dataset.test, scorer.framing, memory_gib=memory_gib)
