"""Trains several models of one shape at once, with different seeds or categories.

They take turns with one compiled program, and each gives the same result as if trained alone.
Stacking them with `vmap` is slower, on a CPU and on an accelerator, because it turns convolutions
into grouped ones (docs/scaling.md).
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import ml_collections
from jax.sharding import Mesh
from tqdm import tqdm

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import user_path
from ocrgan_jax.core.signals import Interrupted, defer_signals
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import State
from ocrgan_jax.training.run import TrainingRun, compile_step, open_run, resolve


def catch_up(run: TrainingRun, step: int) -> State:
  """Trains one run alone up to the step of the others, after they were interrupted unevenly.

  Args:
    run: the run that is behind.
    step: the step to reach.

  Returns:
    The state at that step.
  """
  print(f'one run is at step {run.step}, others at {step}: it catches up first', file=sys.stderr)
  with run.logging():
    state = run.train_to(run.state, step)
  run.step = step
  return state


def train_several(
  configs: Sequence[ml_collections.ConfigDict], workdirs: Sequence[str | Path]
) -> list[State]:
  """Trains several models of one shape at once; each gives the same result as if trained alone.

  Args:
    configs: they may differ in seed and data.
    workdirs: the folder of each run.

  Returns:
    The last state of each.

  Raises:
    InputError: as `train.train`; if the models or their batches differ in shape; or, after the
      other runs have finished, if a run failed.
  """
  mesh = sharding.make_mesh()
  configs = [resolve(config) for config in configs]
  models = [build_model(config) for config in configs]
  if len(set(models)) > 1:
    raise InputError(
      'models that train together must have the same shape, loss and optimiser; '
      'train the others on their own'
    )
  with contextlib.ExitStack() as stack:
    runs = [
      stack.enter_context(open_run(config, user_path(workdir), models[0], mesh))
      for config, workdir in zip(configs, workdirs, strict=True)
    ]
    if all(run.finished for run in runs):
      print(
        f'nothing left to train: the runs are at step {max(run.step for run in runs)}',
        file=sys.stderr,
      )
      return [run.state for run in runs]
    runs[0].print_plan()
    if not models[0].trains:
      for run in runs:
        if not run.finished:
          run.save_untrained()
      return [run.state for run in runs]
    sizes = sorted({run.batch_size for run in runs})
    if len(sizes) > 1:
      raise InputError(
        f'the runs have different batch sizes ({", ".join(map(str, sizes))}); train them one by one'
      )
    return _take_turns(runs, models[0], mesh)


def _take_turns(runs: Sequence[TrainingRun], model: OCRGAN, mesh: Mesh) -> list[State]:
  """Steps the runs in turn until the longest has finished.

  Raises:
    InputError: at the end, if any run failed.
  """
  states, failed = [run.state for run in runs], dict[int, InputError]()
  start = max(run.step for run in runs)
  for k, run in enumerate(runs):
    if run.step < min(start, run.num_steps):
      with _isolated_failure(failed, k):
        states[k] = catch_up(run, min(start, run.num_steps))
  active = [k for k, run in enumerate(runs) if run.num_steps > start and k not in failed]
  last = max([runs[k].num_steps for k in active], default=start)
  metrics: dict[int, dict[str, jax.Array]] = {}
  with contextlib.ExitStack() as stack:
    if active:
      train_one = compile_step(model, mesh, states[active[0]], runs[0].batch_size)
      for k in active:
        states[k] = sharding.in_layout(train_one, states[k])
    for k in active:
      stack.enter_context(runs[k].logging(shows_progress=k == active[0]))
    interruption = stack.enter_context(defer_signals())
    for step in range(start + 1, last + 1):
      active = [k for k in active if step <= runs[k].num_steps and k not in failed]
      if not active:
        break
      images = {k: runs[k].next_batch(interruption) for k in active}
      complete = {k: part for k, part in images.items() if part is not None}
      if len(complete) < len(active):
        for k in complete:
          runs[k].batches.step_back()
        if step - 1 > start:
          _save_interrupted(runs, states, active, step - 1)
        raise Interrupted(interruption.number, interruption.stopped_message(step - 1))
      batches = {k: sharding.put_batch(part, mesh) for k, part in complete.items()}
      jax.block_until_ready(metrics)
      for k in active:
        states[k], metrics[k] = train_one(states[k], batches[k])
      for k in active:
        with _isolated_failure(failed, k):
          runs[k].log_step(step, metrics[k], len(active))
      saving = [k for k in active if step in runs[k].save_at and k not in failed]
      with contextlib.ExitStack() as untimed:
        for k in active if saving else []:
          untimed.enter_context(runs[k].log.untimed())
        for k in saving:
          with _isolated_failure(failed, k):
            runs[k].validate_and_save(states[k])
      if step < last and interruption.should_stop(step):
        left = [k for k in active if step < runs[k].num_steps and k not in failed]
        _save_interrupted(runs, states, left, step)
        raise Interrupted(interruption.number, interruption.stopped_message(step))
  if failed:
    raise InputError('; '.join(map(str, failed.values())))
  return states


def _save_interrupted(
  runs: Sequence[TrainingRun], states: Sequence[State], chosen: Sequence[int], step: int
) -> None:
  failed: dict[int, InputError] = {}
  for k in chosen:
    with _isolated_failure(failed, k):
      runs[k].save_interrupted(step, states[k])


@contextlib.contextmanager
def _isolated_failure(failed: dict[int, InputError], k: int) -> Iterator[None]:
  """Reports and records an InputError of run k, so that the other runs go on."""
  try:
    yield
  except InputError as error:
    failed[k] = error
    tqdm.write(f'{error}; the other runs go on', file=sys.stderr)
