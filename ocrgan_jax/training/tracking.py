"""Sends the log of a run to Weights & Biases or MLflow, if installed."""

import importlib
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_collections

from ocrgan_jax.core.checks import flat_fields
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_text
from ocrgan_jax.training.log import Tracker

PROJECT = 'ocrgan_jax'  # name of the W&B project or MLflow experiment
SERVICES = {'wandb': 'wandb', 'mlflow': 'mlflow-skinny'}  # `train.track` → package on PyPI
RUN_FILE = 'tracked.txt'  # stores the run's id at the service, to resume it

Log = Callable[[int, dict[str, float]], None]
Close = Callable[[], None]


def open_tracker(service: str, workdir: Path, config: ml_collections.ConfigDict) -> Tracker | None:
  """Starts or resumes a run at a tracking service, configured by its own environment variables.

  Args:
    service: a key of SERVICES, or 'none'.
    workdir: the run's folder.
    config: of the run; sent as hyperparameters.

  Returns:
    A function that sends the metrics of a step, and one that ends the run; None for 'none'.

  Raises:
    InputError: if the service is not installed or does not answer.
  """
  if service == 'none':
    return None
  try:
    library = importlib.import_module(service)
  except ImportError:
    raise InputError(
      f'train.track is {service!r}, which is not installed: pip install {SERVICES[service]}'
    ) from None
  path = workdir / RUN_FILE
  known = path.read_text().strip() if path.exists() else ''
  known = known.partition(f'{service} ')[2]
  opened = _open_wandb if service == 'wandb' else _open_mlflow
  try:
    name, log, close = opened(library, known, workdir, flat_fields(config))
  except Exception as error:  # each service has many exception types of its own
    reason = str(error).strip().partition('\n')[0]
    raise InputError(f'train.track: {service} cannot be used: {reason}') from None
  write_text(path, f'{service} {name}\n')
  guard = _Guard(service)
  return guard.around(log), guard.around(close)


class _Guard:
  """Keeps training alive when a service fails: warns once, then stops sending to it."""

  def __init__(self, service: str):
    self._service, self._works = service, True

  def around(self, send: Callable[..., Any]) -> Callable[..., None]:
    def guarded(*arguments: Any) -> None:
      if not self._works:
        return
      try:
        send(*arguments)
      except Exception as error:
        self._works = False
        reason = str(error).strip().partition('\n')[0]
        print(f'warning: the log is no longer sent to {self._service}: {reason}', file=sys.stderr)

    return guarded


def _open_wandb(
  library: ModuleType, known: str, workdir: Path, fields: dict[str, Any]
) -> tuple[str, Log, Close]:
  run = library.init(
    project=PROJECT,
    name=workdir.name,
    dir=workdir,
    config=fields,
    id=known or None,
    resume='allow',
    reinit='create_new',  # several models may train together
  )
  return run.id, lambda step, metrics: run.log(metrics, step=step), run.finish


def _open_mlflow(
  library: ModuleType, known: str, workdir: Path, fields: dict[str, Any]
) -> tuple[str, Log, Close]:
  client, entities = library.MlflowClient(), library.entities
  if known:
    name = known
    client.update_run(name, status='RUNNING')
  else:
    found = client.get_experiment_by_name(PROJECT)
    experiment = found.experiment_id if found else client.create_experiment(PROJECT)
    name = client.create_run(experiment, run_name=workdir.name).info.run_id
    parameters = [entities.Param(key, str(value)) for key, value in fields.items()]
    client.log_batch(name, params=parameters)

  def log(step: int, metrics: dict[str, float]) -> None:
    now = int(time.time() * 1000)
    # MLflow rejects other characters in names.
    names = {key: re.sub(r'[^\w\-./ ]', '_', key) for key in metrics}
    client.log_batch(
      name, metrics=[entities.Metric(names[key], metrics[key], now, step) for key in metrics]
    )

  return name, log, lambda: client.set_terminated(name)
