"""Several models of one shape trained side by side: other seeds, or other categories.

They take turns at one compiled program, and each gets the result that it has alone. Stacked along
a leading axis and stepped at once (`vmap`) they are slower than one alone, on a CPU and on an
accelerator: convolutions in groups are (docs/performance.md).
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
from ocrgan_jax.core.signals import Interrupted, defer_signals
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import State
from ocrgan_jax.training.run import TrainingRun, compile_step, open_run, resolve


def catch_up(run: TrainingRun, step: int) -> State:
  """Trains one run alone to where the others stand: they were interrupted at different steps.

  Args:
    run: that is behind.
    step: to come to.

  Returns:
    Its state there.
  """
  print(f'one run is at step {run.step}, others at {step}: it catches up', file=sys.stderr)
  with run.logging():
    state = run.train_to(run.state, step)
  run.step = step
  return state


def train_several(
  configs: Sequence[ml_collections.ConfigDict], workdirs: Sequence[str | Path]
) -> list[State]:
  """Trains several models of one shape side by side, each with the result that it has alone.

  Args:
    configs: they may differ in the seed and in the data.
    workdirs: a folder for each.

  Returns:
    The last state of each.

  Raises:
    InputError: as `train.train`, or if the models or their batches are not of one shape. If one
      of them cannot go on, once the others are at their end.
  """
  mesh = sharding.make_mesh()
  configs = [resolve(config) for config in configs]
  models = [build_model(config) for config in configs]
  if len(set(models)) > 1:
    raise InputError('models that train together must be of one shape, loss and optimiser')
  with contextlib.ExitStack() as stack:
    runs = [
      stack.enter_context(open_run(config, Path(workdir), models[0], mesh))
      for config, workdir in zip(configs, workdirs, strict=True)
    ]
    if all(run.finished for run in runs):
      print(
        f'nothing left to train: the runs have come to step {max(run.step for run in runs)}',
        file=sys.stderr,
      )
      return [run.state for run in runs]
    runs[0].tell_outlook()
    if not models[0].trains:
      for run in runs:
        if not run.finished:
          run.save_untrained()
      return [run.state for run in runs]
    sizes = sorted({run.batch_size for run in runs})
    if len(sizes) > 1:
      raise InputError(
        f'the runs do not have one batch_size ({", ".join(map(str, sizes))}); train them one by one'
      )
    return _take_turns(runs, models[0], mesh)


def _take_turns(runs: Sequence[TrainingRun], model: OCRGAN, mesh: Mesh) -> list[State]:
  """Steps each run in turn, to the end of the longest.

  Raises:
    InputError: at the end, if runs were stopped by what went wrong with them alone.
  """
  states, failed = [run.state for run in runs], dict[int, InputError]()
  begin = max(run.step for run in runs)
  for k, run in enumerate(runs):
    if run.step < min(begin, run.num_steps):
      with _stopping_one(failed, k):
        states[k] = catch_up(run, min(begin, run.num_steps))
  going = [k for k, run in enumerate(runs) if run.num_steps > begin and k not in failed]
  last = max([runs[k].num_steps for k in going], default=begin)
  metrics: dict[int, dict[str, jax.Array]] = {}
  with contextlib.ExitStack() as stack:
    if going:
      train_one = compile_step(model, mesh, states[going[0]], runs[0].batch_size)
    for k in going:
      stack.enter_context(runs[k].logging(shows_progress=k == going[0]))
    interruption = stack.enter_context(defer_signals())
    for step in range(begin + 1, last + 1):
      going = [k for k in going if step <= runs[k].num_steps and k not in failed]
      if not going:
        break
      images = {k: runs[k].next_batch(interruption) for k in going}
      given = {k: part for k, part in images.items() if part is not None}
      if len(given) < len(going):
        for k in given:
          runs[k].batches.step_back()
        if step - 1 > begin:
          _save_interrupted(runs, states, going, step - 1)
        raise Interrupted(interruption.number, interruption.stopped_message(step - 1))
      batches = {k: sharding.put_batch(part, mesh) for k, part in given.items()}
      jax.block_until_ready(metrics)
      for k in going:
        states[k], metrics[k] = train_one(states[k], batches[k])
      for k in going:
        with _stopping_one(failed, k):
          runs[k].log_step(step, metrics[k], len(going))
      saving = [k for k in going if step in runs[k].save_at and k not in failed]
      with contextlib.ExitStack() as untimed:
        for k in going if saving else []:
          untimed.enter_context(runs[k].log.untimed())
        for k in saving:
          with _stopping_one(failed, k):
            runs[k].validate_and_save(states[k])
      if step < last and interruption.should_stop(step):
        left = [k for k in going if step < runs[k].num_steps and k not in failed]
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
    with _stopping_one(failed, k):
      runs[k].save_interrupted(step, states[k])


@contextlib.contextmanager
def _stopping_one(failed: dict[int, InputError], k: int) -> Iterator[None]:
  """What goes wrong within is run k's alone: it is told and kept, and the others go on."""
  try:
    yield
  except InputError as error:
    failed[k] = error
    tqdm.write(f'{error}; others that train beside it go on', file=sys.stderr)
