"""Fig. 7: λ_con of the loss and λ of the score.

  python -m experiments.paper.figure_7 --data_dir=…

Each λ_con needs its own models. λ only changes how the models of the default λ_con are scored.
"""

import dataclasses
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Experiment, Results, Row
from experiments.runner import load_tested
from ocrgan_jax.drawing import figures
from ocrgan_jax.model.settings import build_model

WEIGHTS = (1, 10, 30, 50, 70, 100)  # λ_con; the paper's default is 50
DEFAULT = 50
SHARES = tuple(k / 10 for k in range(11))  # λ of Eq. 13; the paper's is 0.9
EXPERIMENT = Experiment(
  name='figure_7',
  title='Fig. 7a: the weight of the content loss',
  config='mvtec',
  rows={
    f'λ_con = {weight}': Row(
      0.983 if weight == DEFAULT else None,
      overrides={'loss.content': float(weight)},
    )
    for weight in WEIGHTS
  },
  categories=MVTEC_ALL,
  note='The paper draws this curve without numbers.',
)


def by_share(results: Results) -> np.ndarray:
  """The AUROC of the default models at each λ of the score.

  Args:
    results: the results of the experiment.

  Returns:
    float [runs, SHARES]; NaN for runs that failed.
  """
  of_default = [c for c in results.folders if c.row == f'λ_con = {DEFAULT}'] or [*results.folders]
  rows = []
  for cell in of_default:
    if 'error' in results.outcomes[cell]:
      rows.append([np.nan] * len(SHARES))
      continue
    labels, content, latent = errors_of(results.folders[cell])
    mixed = [share * content + (1 - share) * latent for share in SHARES]  # Eq. 13
    rows.append([roc_auc_score(labels, scores) for scores in mixed])
  return np.array(rows, float).reshape(-1, len(SHARES))


def errors_of(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The labels and both terms of Eq. 13 for a test set: reconstruction, then D's features."""
  scorer, dataset, images = load_tested(folder)

  def term(share: float) -> np.ndarray:
    config = scorer.config.copy_and_resolve_references()
    config.score.content_weight = share
    return dataclasses.replace(scorer, config=config, model=build_model(config)).score(images)

  return dataset.test.labels, term(1.0), term(0.0)


def draw(results: Results, path: Path) -> None:
  """Draws both curves."""
  figure = Figure(figsize=(10, 4))
  left, right = figure.subplots(1, 2, sharey=True)
  weights = [float(row.overrides['loss.content']) for row in results.experiment.rows.values()]
  of_rows = [results.values(label, 'paper', 'last') for label in results.experiment.rows]
  curves = ((left, weights, list(zip(*of_rows, strict=True))), (right, SHARES, by_share(results)))
  for panel, places, runs in curves:
    values = np.array(runs, float)
    for run in values:
      panel.plot(places, run, 'o-', color='tab:gray', alpha=0.5, markersize=3)
    panel.plot(places, values.mean(0), 'o-', color='tab:blue', label='mean')
    panel.axhline(0.5, color='black', linestyle=':', linewidth=1, label='chance')
    panel.legend()
  left.set(title='(a) λ_con in the loss of G', xlabel='λ_con', ylabel='image AUROC, last step')
  right.set(title='(b) λ in the anomaly score', xlabel='λ, the weight of the reconstruction error')
  figure.suptitle(
    f'Fig. 7: the weight of the content error; {", ".join(results.experiment.categories)}\n'
    'grey: single runs; no mean is drawn if a run is missing',
    y=1.04,
  )
  figures.save(figure, path)


if __name__ == '__main__':
  main(EXPERIMENT, draw)
