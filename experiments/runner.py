"""Runs a list of configs, each once: one by one, several side by side, or over a cluster.

A run lies in `<workdir>/<name>`, named by a hash of its config. When it is trained and evaluated,
one line of `<workdir>/results.jsonl` says what came out, and it is not run again; one that was
interrupted goes on where it stood. Several runners may share a work folder.
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
from tqdm import tqdm

from experiments.benchmark.machine import machine
from ocrgan_jax.configs import default
from ocrgan_jax.core.checks import flat_fields
from ocrgan_jax.core.errors import InputError, InUse
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.decode_cache import cache_decoded_images
from ocrgan_jax.data.images import hold_out
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.runs import checkpoint, run_folder
from ocrgan_jax.runs.checkpoint import PROTOCOLS, VALIDATION
from ocrgan_jax.runs.ownership import owned
from ocrgan_jax.training.group import train_several
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.run import resolve
from ocrgan_jax.training.train import train

# What says where images lie and how they are fetched, not what is measured.
NOT_IN_THE_NAME = (
  'data_dir',
  'data.test_dir',
  'data.prepared_dir',
  'data.memory_gib',
  'data.workers',
  'train.pictures',
  'train.track',
)
KEPT = (  # of an evaluation's metrics, by the last checkpoint
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
WAIT_SECONDS = 5.0  # between looks at a run that another runner is at

Row = dict[str, Any]


def name_of(config: ml_collections.ConfigDict) -> str:
  """The name of a run: a hash of what its config says about the result."""
  fields = {k: v for k, v in flat_fields(config).items() if k not in NOT_IN_THE_NAME}
  text = json.dumps(fields, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def results(workdir: Path) -> dict[str, Row]:
  """The lines of `results.jsonl` by the names of the runs."""
  return {row['run']: row for row in read_lines(workdir / 'results.jsonl')}


def run_all(
  configs: Sequence[ml_collections.ConfigDict],
  workdir: Path,
  *,
  together: int = 1,
  cluster: str = '',
  devices: int = 1,
) -> dict[str, Row]:
  """Trains and evaluates all of a list that is not done yet.

  Args:
    configs: of the runs; equal ones are one run.
    workdir: the folder of all runs.
    together: how many models of one shape are trained side by side, by one program.
    cluster: of submitit: 'slurm' or 'local', a job for each run; '' for this process.
    devices: accelerators of each job.

  Returns:
    The name of a run → its line of results, or {'run': its name, 'error': what went wrong}.

  Raises:
    InputError: if a run was done with other images than there are now, or there is no such
      cluster.
  """
  workdir = workdir.absolute()
  wanted = {name_of(config): resolve(config) for config in configs}
  done = results(workdir)
  to_do = {name: config for name, config in wanted.items() if name not in done}
  earlier = {name: config for name, config in wanted.items() if name in done}
  _check_images(earlier, done, workdir)
  for name in earlier:  # it may have been killed before it came to that
    _prune(workdir / name)
  # One dataset after the other, so that its images are decoded once.
  of_data = lambda item: (item[1].data.dataset, item[1].data.category)
  to_do = dict(sorted(to_do.items(), key=of_data))
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
  """Runs in this process, and waits for what others are at."""
  waiting = list(_groups(to_do, together))
  with cache_decoded_images():
    while waiting:
      busy = []
      for group in waiting:
        try:
          yield _run_group(group, workdir)
        except InUse:
          busy.append(group)
        jax.clear_caches()  # each shape is a program of its own
      if busy == waiting:
        time.sleep(WAIT_SECONDS)
      waiting = busy


def _groups(
  to_do: dict[str, ml_collections.ConfigDict], together: int
) -> Iterator[dict[str, ml_collections.ConfigDict]]:
  """Runs that share a program, up to so many at a time."""
  shapes: dict[Any, list[str]] = {}
  for name, config in to_do.items():
    try:
      shape: Any = (build_model(config), config.train.batch_size) if together > 1 else name
    except InputError:  # told when it is run
      shape = name
    shapes.setdefault(shape, []).append(name)
  for names in shapes.values():
    for start in range(0, len(names), together):
      yield {name: to_do[name] for name in names[start : start + together]}


def _run_group(group: dict[str, ml_collections.ConfigDict], workdir: Path) -> list[Row]:
  """Trains and evaluates runs of one shape.

  Returns:
    Their lines, which are written already, or what went wrong.

  Raises:
    InUse: if another runner is at one of them.
  """
  with contextlib.ExitStack() as stack:
    for name in group:
      stack.enter_context(owned(workdir / 'locks' / name))
    return _run_owned(group, workdir)


def _run_owned(group: dict[str, ml_collections.ConfigDict], workdir: Path) -> list[Row]:
  done = results(workdir)  # by another runner, since we looked
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
  # What follows is outside of `except`, where the error would keep the group's states in memory.
  if message and len(left) > 1:  # one of them cannot be run: which, and the others
    return earlier + [row for name in left for row in _run_owned({name: left[name]}, workdir)]
  if message:
    return earlier + [{'run': name, 'error': message} for name in left]
  for row in rows:
    append(workdir / 'results.jsonl', row)
    _prune(workdir / row['run'])
  return earlier + rows


def _prune(folder: Path) -> None:
  """Removes the checkpoints of a run that is done, but the last and the best."""
  try:
    if (folder / 'checkpoints').exists():
      checkpoint.keep_last_and_best(folder)
  except OSError as error:
    print(f'warning: checkpoints are left in {folder}: {error}', file=sys.stderr)


def _check_images(
  configs: dict[str, ml_collections.ConfigDict], done: dict[str, Row], workdir: Path
) -> None:
  """Stops where a run that is done was of other images; where there are none now, it counts."""
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
  """Evaluates a trained run under all protocols."""
  folder = workdir / name
  protocols = PROTOCOLS if config.train.keep_checkpoints else PROTOCOLS[:2]
  metrics: dict[str, dict[str, Any]] = {}
  for protocol in protocols:  # 'last' first
    if metrics and checkpoint.steps(folder, protocol) == checkpoint.steps(folder, 'last'):
      metrics[protocol] = metrics['last']
    else:
      options: dict[str, Any] = {'pictures': False, 'statistics': not metrics}
      metrics[protocol] = evaluate(folder, protocol=protocol, **options)
  log = read_lines(folder / 'metrics.jsonl')
  validated = [line[VALIDATION] for line in log if VALIDATION in line]
  known = flat_fields(default.get_config().copy_and_resolve_references())
  fields = flat_fields(config)
  return {
    'run': name,
    'config': {k: v for k, v in fields.items() if v != known[k] and k not in NOT_IN_THE_NAME},
    **{protocol: metrics[protocol]['image_auroc'] for protocol in protocols},
    # That the best on the test set was chosen from.
    'checkpoints': len(checkpoint.steps(folder, protocols[-1])),
    VALIDATION: validated[-1],
    **{key: metrics['last'].get(key) for key in KEPT},
    'steps': metrics['last']['step'],
    'minutes': round(minutes_of(log, len(run_folder.training_set(folder)), config), 2),
    'images': images_of(config),
    'machine': machine(),
  }


def minutes_of(log: Sequence[Row], count: int, config: ml_collections.ConfigDict) -> float:
  """The minutes of a run's training steps, by the rates in its log, over all its sessions.

  Args:
    log: its lines.
    count: of the normal images, those that are held out included.
    config: of the run.

  Returns:
    Minutes.
  """
  in_an_epoch = len(hold_out(count, config.data.validation_share, config.seed)[0])
  seconds, last = 0.0, 0.0
  for line in log:
    if 'images_per_second' in line:
      seconds += (line['epoch'] - last) * in_an_epoch / line['images_per_second']
      last = line['epoch']
  return seconds / 60


def _on_cluster(
  to_do: dict[str, ml_collections.ConfigDict], workdir: Path, cluster: str, devices: int
) -> Iterator[list[Row]]:
  """A job of submitit for each run.

  Raises:
    InputError: if there is no such cluster here.
  """
  try:
    import submitit  # only this needs it

    executor = submitit.AutoExecutor(folder=workdir / 'jobs', cluster=cluster)
  except ImportError:
    raise InputError('--cluster needs submitit: pip install submitit') from None
  except (RuntimeError, ValueError) as error:  # no srun, say
    raise InputError(f'--cluster={cluster}: {error}') from None
  executor.update_parameters(name='ocrgan', timeout_min=24 * 60, cpus_per_task=8)
  if cluster == 'slurm':
    executor.update_parameters(gpus_per_node=devices)
  with executor.batch():
    jobs = {name: executor.submit(run_all, [config], workdir) for name, config in to_do.items()}
  for name, job in jobs.items():
    try:
      yield [job.result()[name]]
    except Exception as error:  # of the job, or of the cluster
      yield [{'run': name, 'error': str(error).strip().rpartition('\n')[2]}]


def append(path: Path, row: Row) -> None:
  """Adds a line to a file that others may write to, too, behind its last whole line."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open('a+b') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0)
    file.truncate(file.read().rfind(b'\n') + 1)
    file.write(json.dumps(row).encode() + b'\n')
