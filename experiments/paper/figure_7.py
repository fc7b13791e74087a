"""Fig. 7: λ_con of the loss and λ of the score.

  python -m experiments.paper.figure_7 --data_dir=…

Each λ_con needs its own models. λ only changes how the models of the default λ_con are scored.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from experiments.paper.command import main
from experiments.paper.experiment import MVTEC_ALL, Experiment, Results, Row
from experiments.paper.panels import curve
from experiments.tested import load_tested, outputs
from ocrgan_jax.drawing import figures

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

  Returns:
    float [runs, SHARES]; NaN for runs that failed.
  """
  of_default = [c for c in results.folders if c.row == f'λ_con = {DEFAULT}'] or [*results.folders]
  aurocs = np.full((len(of_default), len(SHARES)), np.nan)
  for i, cell in enumerate(of_default):
    if 'error' not in results.outcomes[cell]:
      scorer, dataset, images = load_tested(results.folders[cell])
      content, latent = outputs(scorer, images, 'content', 'latent')
      mixed = [share * content + (1 - share) * latent for share in SHARES]  # Eq. 13
      aurocs[i] = [roc_auc_score(dataset.test.labels, scores) for scores in mixed]
  return aurocs


def draw(results: Results, path: Path) -> None:
  """Draws both curves."""
  figure = Figure(figsize=(10, 4))
  left, right = figure.subplots(1, 2, sharey=True)
  rows = results.experiment.rows
  weights = [float(row.overrides['loss.content']) for row in rows.values()]
  curve(left, weights, np.array([results.values(label, 'last') for label in rows], float).T)
  curve(right, SHARES, by_share(results))
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
