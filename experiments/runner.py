"""Runs each config of a list once, in this process or on a cluster.

Each run has a folder `<workdir>/<name>`, where the name is a hash of its config. When a run has
been trained and evaluated, a line with its results is added to `<workdir>/results.jsonl`, and it
is never run again. An interrupted run resumes. Several runners may share a work folder.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
from filelock import FileLock, Timeout
from tqdm import tqdm

import ocrgan_jax
from experiments import rows
from experiments.benchmark.machine import machine
from experiments.rows import Row
from ocrgan_jax.configs import default
from ocrgan_jax.core.checks import flat_fields
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.data.datasets import prepare_dataset

PROTOCOLS = ('last', 'validation', 'oracle')
VALIDATION = 'validation_auroc'  # in the log of a run and in its line of results
# Fields that do not affect the result: where the images are and how they are loaded.
NOT_IN_THE_NAME = (
  'data_dir',
  'data.test_dir',
  'data.prepared_dir',
  'data.memory_gib',
  'data.workers',
  'train.pictures',
)
# Metrics of the last checkpoint that go into a line of results.
KEPT = (
  'image_auroc_interval',
  'image_auroc_bands',
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


def name_of(config: ml_collections.ConfigDict) -> str:
  """The name of a run: a hash of the config fields that affect its result."""
  fields = {k: v for k, v in flat_fields(config).items() if k not in NOT_IN_THE_NAME}
  text = json.dumps(fields, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_all(
  configs: Sequence[ml_collections.ConfigDict],
  workdir: Path,
  *,
  cluster: str = '',
  devices: int = 1,
) -> dict[str, Row]:
  """Trains and evaluates every run of a list that has no results yet.

  Args:
    configs: the configs of the runs; equal configs are one run.
    workdir: the folder of all runs.
    cluster: 'slurm' or 'local' to submit each run as a job with submitit; '' to run it here.
    devices: accelerators of each job.

  Returns:
    Name of a run → its line of results, or {'run': name, 'error': message}.

  Raises:
    InputError: if the images of a finished run have changed, or the cluster is not available.
  """
  workdir = workdir.absolute()
  wanted = {name_of(config): config for config in configs}
  found = {row['run']: row for row in _results(workdir) if row['run'] in wanted}
  _check_images({name: wanted[name] for name in found}, found, workdir)
  for name in found:  # its runner may have been killed before it did this
    _prune(workdir / name)
  to_do = {name: config for name, config in wanted.items() if name not in found}
  with tqdm(total=len(wanted), initial=len(found), desc='runs', unit='run') as bar:
    for row in _on_cluster(to_do, workdir, cluster, devices) if cluster else _here(to_do, workdir):
      found[row['run']] = row
      if 'error' in row:
        bar.write(f'failed: {row["run"]}: {row["error"]}', file=sys.stderr)
      bar.update()
  return {name: found[name] for name in wanted}


def _results(workdir: Path) -> list[Row]:
  return rows.read(workdir / 'results.jsonl')


def _here(to_do: dict[str, ml_collections.ConfigDict], workdir: Path) -> Iterator[Row]:
  """Runs in this process, and waits for runs that other runners are working on."""
  waiting = [*to_do]
  while waiting:
    busy = []
    for name in waiting:
      try:
        with FileLock(workdir / 'locks' / name, blocking=False):
          row = _run(name, to_do[name], workdir)
      except Timeout:
        busy.append(name)
        continue
      yield row
      jax.clear_caches()  # each shape has its own program
    if busy == waiting:
      time.sleep(WAIT_SECONDS)
    waiting = busy


def _run(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Row:
  """Trains and evaluates a run, unless another runner has done so meanwhile."""
  if row := rows.find(workdir / 'results.jsonl', run=name):
    return row
  try:
    ocrgan_jax.train(config, workdir / name)
    row = _measure(name, config, workdir / name)
  except Exception as error:
    return {'run': name, 'error': rows.reason_of(error)}
  rows.append(workdir / 'results.jsonl', row)
  _prune(workdir / name)
  return row


def _prune(folder: Path) -> None:
  """Removes all checkpoints of a finished run except the last and the best."""
  if validated := _validations(folder):
    kept = (str(validated[-1]['step']), str(_best(validated)['step']))
    for path in (folder / 'checkpoints').glob('[0-9]*'):
      if path.name not in kept:
        shutil.rmtree(path, ignore_errors=True)


def _validations(folder: Path) -> list[Row]:
  """The lines of a run's log that are about a validation; each has its checkpoint."""
  return [line for line in rows.read(folder / 'metrics.jsonl') if VALIDATION in line]


def _best(validated: Sequence[Row]) -> Row:
  """The best of these lines; of equal ones the latest, as for the protocol `validation`."""
  return max(validated, key=lambda line: (line[VALIDATION], line['step']))


def _check_images(
  configs: dict[str, ml_collections.ConfigDict], done: dict[str, Row], workdir: Path
) -> None:
  """Raises an InputError if a finished run used other images. Missing images are accepted."""
  found: dict[str, str] = {}
  for name, config in configs.items():
    where = json.dumps([config.data_dir, config.data.to_dict()])
    if where not in found:
      try:
        found[where] = digest_of(prepare_dataset(config.data_dir, config.data))
      except InputError:
        found[where] = ''
    if found[where] and done[name].get('images', found[where]) != found[where]:
      raise InputError(
        f'run {name} in {workdir / "results.jsonl"} is of other images than those in '
        f'{config.data_dir}; use another --workdir'
      )


def digest_of(dataset: Prepared) -> str:
  """A hash of the training and test images of a dataset."""
  text = json.dumps([dataset.train.digests, dataset.test.digests])
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _measure(name: str, config: ml_collections.ConfigDict, folder: Path) -> Row:
  """Evaluates a trained run under all protocols and returns its line of results."""
  dataset = prepare_dataset(config.data_dir, config.data)
  validated, known = _validations(folder), flat_fields(default.get_config())
  metrics = {'last': ocrgan_jax.evaluate(folder, pictures=False, with_bands=True)}
  last: dict[str, Any] = metrics['last']
  for protocol in PROTOCOLS[1:] if config.train.keep_checkpoints else PROTOCOLS[1:2]:
    if len(validated) < 2 or (protocol == 'validation' and _best(validated) is validated[-1]):
      metrics[protocol] = last  # it is the only checkpoint, or also the best one
    else:
      metrics[protocol] = ocrgan_jax.evaluate(folder, protocol=protocol, pictures=False)
  images = len(dataset.train.digests) - last['num_held_out']
  return {
    'run': name,
    'config': {
      k: v for k, v in flat_fields(config).items() if v != known[k] and k not in NOT_IN_THE_NAME
    },
    **{protocol: found['image_auroc'] for protocol, found in metrics.items()},
    # How many checkpoints the best were chosen from.
    'checkpoints': len(validated),
    VALIDATION: validated[-1][VALIDATION] if validated else None,
    **{key: last.get(key) for key in KEPT},
    'steps': last['step'],
    'minutes': round(minutes_of(rows.read(folder / 'metrics.jsonl'), images), 2),
    'images': digest_of(dataset),
    'machine': machine(),
  }


def minutes_of(log: Sequence[Row], images: int) -> float:
  """The minutes a run spent in training steps, by the rates in its log of so many images."""
  seconds, last = 0.0, 0.0
  for line in log:
    if 'images_per_second' in line:
      seconds += (line['epoch'] - last) * images / line['images_per_second']
      last = line['epoch']
  return seconds / 60


def _on_cluster(
  to_do: dict[str, ml_collections.ConfigDict], workdir: Path, cluster: str, devices: int
) -> Iterator[Row]:
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
      yield job.result()[name]
    except Exception as error:  # from the job or from the cluster
      yield {'run': name, 'error': str(error).strip().rpartition('\n')[2]}
