"""Sets a trained model's threshold and score: `python -m ocrgan_jax.calibrate --workdir=…`.

  --score.false_alarms=0.05     about 5 false alarms in 100 sound products at most
  --score.threshold=1.2         a fixed scaled score
  --score.kind=map …            another score; its scale is fitted to the run's training images

From then on evaluate, predict, export, serve and `ocrgan_jax.load` use the new setting. Without
a --score flag it prints the current one; --as_trained restores the one from training.
"""

from absl import flags
from ml_collections import config_flags

from ocrgan_jax.core import command_line
from ocrgan_jax.scoring.calibration import describe_threshold
from ocrgan_jax.training.recalibration import calibrate


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
  kind = {
    'eq13': 'Eq. 13',
    'map': 'the largest values of the anomaly map',
    'heads': f'the heads {", ".join(rule.heads_on)}',
  }[rule.kind]
  print(f'score: {kind}; {scorer.compared_with} score 0 to 1')
  print(describe_threshold(scorer.calibration, rule))


if __name__ == '__main__':
  command_line.define_run_flags()
  flags.DEFINE_bool('as_trained', False, 'discard earlier changes; start from the trained setting')
  command_line.define_score_flags()
  command_line.run(main)
