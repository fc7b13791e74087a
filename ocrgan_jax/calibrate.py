"""Chooses a trained model's threshold and score: `python -m ocrgan_jax.calibrate --workdir=…`.

  --score.false_alarms=0.05     at most about 5 false alarms in 100 sound products
  --score.threshold=1.2         at this scaled score
  --score.threshold_quantile=1  at this quantile of held-out normal images
  --score.kind=map …            by another score, fitted to the run's training images anew

evaluate, predict, export, serve and `scorer.load` use what was chosen from then on. Without
any of these it says what holds; --as_trained goes back to what the run was trained with.
"""

from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from ocrgan_jax import command_line, saved_calibration
from ocrgan_jax.calibration import describe_threshold
from ocrgan_jax.errors import InputError
from ocrgan_jax.scorer import (
  THRESHOLD_FIELDS,
  Scorer,
  load_each,
  with_score,
  with_threshold_rule,
)
from ocrgan_jax.training_images import load_training_images


def calibrate(
  workdir: str | Path,
  score: dict[str, Any],
  *,
  protocol: str = 'last',
  as_trained: bool = False,
) -> Scorer:
  """Chooses the threshold and the score of a checkpoint, and saves them in the run's folder.

  Args:
    workdir: the run's folder.
    score: fields of the config's section `score` to change. If they are of the threshold
      alone, no image is needed; else the run's training images are.
    protocol: which checkpoint: 'last' or 'validation'.
    as_trained: whether to begin with what the run was trained with, not with what was
      chosen since.

  Returns:
    The model as it scores from now on.

  Raises:
    InputError: if the run, its images or a field cannot be used.
  """
  workdir = Path(workdir)
  if protocol == 'oracle':
    raise InputError("the protocol 'oracle' is for evaluation alone; use 'last' or 'validation'")
  scorer = next(load_each(workdir, protocol, as_trained=as_trained))
  if score and ({*score} - {*THRESHOLD_FIELDS} or not len(scorer.calibration.held_out)):
    images, held_out, *_ = load_training_images(scorer.config, workdir)
    scorer = with_score(scorer, score, held_out, images)
  elif score:
    scorer = with_threshold_rule(scorer, score)
  if as_trained and not score:
    saved_calibration.remove_calibrations(workdir)
  if score:
    step = int(scorer.state.step)
    saved_calibration.save_calibration(workdir, step, scorer.calibration, scorer.config.score)
  return scorer


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  scorer = calibrate(
    values.workdir,
    config_flags.get_override_values(values['score']),
    protocol=values.protocol,
    as_trained=values.as_trained,
  )
  rule = scorer.model.score
  kind = 'Eq. 13' if rule.kind == 'eq13' else f'the largest values of the map, {rule.map}'
  print(f'score: {kind}; 0 to 1 is what held-out normal images show')
  print(describe_threshold(scorer.calibration, rule))


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.DEFINE_bool('as_trained', False, 'begin with what the run was trained with')
  command_line.define_score_flags()
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
