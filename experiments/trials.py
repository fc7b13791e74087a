"""Two trials of networks over the statistics of `bands`; docs/history/detector_trials.md has both.

  python -m experiments.trials --data_dir=… --trial=generator
  python -m experiments.trials --data_dir=… --trial=discriminator

`generator`: an autoencoder of the whitened statistics, one branch per band, CS and a bottleneck but
no skip connections, in place of ridge regression. Residuals of training images come from networks
that were trained on other folds. They choose the number of steps, and whiten all residuals.

`discriminator`: one D for all products. It sees the whitened residuals of normal images that the
heads were not fitted to, and of forged copies of these. It is trained on all sets but one, and
judges that one without training. It needs at least two sets.

`data_dir` contains the folders of `experiments.configs.SETS`. Finished sets are not repeated.
Every row is a look at a test set.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags
from ocrgan_jax.forging.mixtures import FAMILIES, forge_mixtures

from experiments.configs import SETS
from experiments.detection import config_of
from experiments.runner import append
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_text
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.data.framing import framing_of
from ocrgan_jax.data.groups import take_groups
from ocrgan_jax.data.images import load_images
from ocrgan_jax.heads import maps as heads
from ocrgan_jax.heads.fitting import deal_folds, fit, fit_whitenings
from ocrgan_jax.heads.maps import Detector
from ocrgan_jax.heads.measurements import CHANNELS, measure, pool_max, pool_mean
from ocrgan_jax.heads.regression import fit_regression
from ocrgan_jax.heads.tails import combine, fit_tails, head_surprises, joint_score
from ocrgan_jax.model.inputs import MIXED_BANDS, to_float
from ocrgan_jax.networks import ChannelSelection, frequency_decoupling
from ocrgan_jax.networks.layers import leaky_relu
from ocrgan_jax.reports.twins import LEAST
from ocrgan_jax.scoring.metrics import image_auroc
from ocrgan_jax.training.log import read_lines

MOST, MOST_DEFECTIVE = 240, 150  # training images and defective images of a set
BATCH = 16
SEED = 0
OPTIMISER = optax.adam(3e-3)
# Channels of `measure`: the energies, means and directions of each band; the colours.
BRANCHES = (
  (0, 1, 17, 18, 19, 20),
  *((1 + b, 5 + b, 12 + b, *range(17 + 4 * b, 21 + 4 * b)[: 4 * (b < 4)]) for b in range(1, 5)),
  (10, 11, 12, 33, 34, 35, 36),
)
# The same, [branches, channels]; CHANNELS is a channel of zeros.
CHANNEL_OF = np.array([[*own, *[CHANNELS] * (7 - len(own))] for own in BRANCHES])
CODES = (16, 64)  # widths of the bottleneck, in numbers per branch
FOLDS = 2
JUDGES = ('statistics', 'whole')
COPIES = 2  # forged copies of each image
SHARE = 0.01  # of D's logits, the largest, which are averaged
GENERATOR_STEPS, CHECK_EVERY, DISCRIMINATOR_STEPS = 250, 50, 400
CROP = 16  # positions a side of what D is trained on


class Opened(NamedTuple):
  """A set.

  Attributes:
    train: normal images, uint8 [n, size, size, 3].
    groups: int [n].
    test: sound and defective images, uint8 [m, size, size, 3]; sound ones with a twin in training
      are left out if enough others are there.
    labels: int [m], 1 for defective.
  """

  train: np.ndarray
  groups: np.ndarray
  test: np.ndarray
  labels: np.ndarray


def open_set(data_dir: str, name: str, size: int) -> Opened:
  """Loads a set, of many images only some: of training images at random, in whole groups."""
  config = config_of(data_dir, name, 'bands', size, SEED)
  dataset = prepare_dataset(config.data_dir, config.data)
  train, test = dataset.train, dataset.test
  groups = train.groups
  if len(np.unique(groups)) == 1:
    groups = np.arange(len(groups))
  some = take_groups(groups, MOST, SEED) if len(groups) > MOST else np.ones(len(groups), bool)
  normal = test.labels == NORMAL
  twins = normal & np.isin(test.groups, train.groups)
  if (normal & ~twins).sum() < LEAST:
    twins[:] = False
  defective = np.flatnonzero(test.labels == ANOMALOUS)
  defective = np.random.default_rng(SEED).permutation(defective)[:MOST_DEFECTIVE]
  kept = np.sort([*np.flatnonzero(normal & ~twins), *defective])
  load = lambda split, chosen: load_images(
    split, framing_of(config, None), memory_gib=config.data.memory_gib, chosen=chosen
  )[np.arange(len(chosen))]
  own = load(train, np.flatnonzero(some))
  labels = (test.labels[kept] == ANOMALOUS).astype(int)
  return Opened(own, groups[some], load(test, kept), labels)


def in_batches(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
  """Applies a function of batches to arrays [n, …]; returns its results on the host."""
  count, parts = len(arrays[0]), []
  for start in range(0, count, BATCH):
    rows = np.minimum(np.arange(start, start + BATCH), count - 1)
    parts.append(jax.tree.map(np.asarray, function(*(x[rows] for x in arrays))))
  return jax.tree.map(lambda *x: np.concatenate(x)[:count], *parts)


measured = jax.jit(lambda images: measure(to_float(images)))


class Autoencoder(nn.Module):
  """Reconstructs the statistics of each band from a code; CS mixes the bands.

  Both stages work on blocks of 2×2 positions, so they are matrix products, which CPUs do fast.

  Attributes:
    code: numbers per branch.
  """

  code: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Reconstructs statistics: [batch, p, p, CHANNELS] → the same shape."""
    count, (batch, side, _, _) = len(BRANCHES), x.shape
    start = nn.initializers.lecun_normal(batch_axis=0)

    def dense(h: jax.Array, width: int, name: str) -> jax.Array:
      kernel = self.param(name, start, (count, h.shape[-1], width))
      bias = self.param(f'{name}_bias', nn.initializers.zeros_init(), (count, width))
      flat = h.reshape(count, -1, h.shape[-1])
      return (flat @ kernel + bias[:, None]).reshape(*h.shape[:-1], width)

    h = jnp.moveaxis(jnp.pad(x, [(0, 0)] * 3 + [(0, 1)])[..., CHANNEL_OF], 3, 0)
    for width in (16, 32):
      side //= 2
      h = h.reshape(count, batch, side, 2, side, 2, -1).swapaxes(3, 4)
      h = leaky_relu(dense(h.reshape(count, batch, side, side, -1), width, f'encode{width}'))
      h = count * jnp.stack(ChannelSelection()(list(h)))  # the weights of CS add up to 1
    flat = h.reshape(count, batch, -1)
    h = dense(dense(flat, self.code, 'code'), flat.shape[-1], 'from_code').reshape(h.shape)
    for width in (16, CHANNEL_OF.shape[1]):
      h = dense(leaky_relu(h), 4 * width, f'decode{width}')
      h = h.reshape(count, batch, side, side, 2, 2, width).swapaxes(3, 4)
      side *= 2
      h = h.reshape(count, batch, side, side, width)
    return jnp.moveaxis(h, 0, 3).reshape(*x.shape[:3], -1)[
      ..., np.argsort(CHANNEL_OF, None)[:CHANNELS]
    ]


@functools.partial(jax.jit, static_argnums=(0, 1))
def step(network: nn.Module, loss: Callable, params: Any, state: Any, x: Any, y: Any) -> tuple:
  """One step of `train_steps`."""
  gradient = jax.grad(lambda p: loss(network.apply(p, x), y).mean())(params)
  updates, state = OPTIMISER.update(gradient, state)
  return optax.apply_updates(params, updates), state


def train_steps(
  network: nn.Module, loss: Callable, draw: Callable[[], tuple], steps: int
) -> Iterator[Any]:
  """Trains a network, and yields its parameters after each step.

  Args:
    network: a function of x.
    loss: of the network's output and y, elementwise.
    draw: draws a batch of x and y.
    steps: number of steps.
  """
  params = jax.jit(network.init)(jax.random.key(SEED), draw()[0])
  state = OPTIMISER.init(params)
  for _ in range(steps):
    params, state = step(network, loss, params, state, *draw())
    yield params


def generator_residuals(
  code: int, train: np.ndarray, test: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
  """What autoencoders leave of whitened statistics.

  Args:
    code: width of the bottleneck.
    train: of normal images, float32 [n, p, p, CHANNELS].
    test: of others, float32 [m, p, p, CHANNELS].
    fold: int [n].

  Returns:
    The residuals of both, those of a training image by a network that was trained on the other
    folds, and the number of steps, at which these residuals are least.
  """
  network, rng = Autoencoder(code), np.random.default_rng(SEED)
  rest = jax.jit(lambda params, x: x - network.apply(params, x))

  def checkpoints(images: np.ndarray, steps: int) -> Iterator[Any]:
    draw = lambda: 2 * (images[rng.integers(len(images), size=BATCH)],)
    for i, params in enumerate(train_steps(network, optax.squared_error, draw, steps), 1):
      if i % CHECK_EVERY == 0:
        yield params

  left = np.empty((GENERATOR_STEPS // CHECK_EVERY, *train.shape), np.float32)
  for k in range(fold.max() + 1):
    for i, params in enumerate(checkpoints(train[fold != k], GENERATOR_STEPS)):
      left[i, fold == k] = in_batches(lambda x, p=params: rest(p, x), train[fold == k])
  best = int(np.square(left).mean((1, 2, 3, 4)).argmin())
  steps = CHECK_EVERY * (best + 1)
  *_, last = checkpoints(train, steps)
  return left[best], in_batches(lambda x: rest(last, x), test), steps


def try_generator(opened: Opened) -> dict[str, Any]:
  """Compares what explains an image: nothing, ridge regression, or autoencoders.

  Returns:
    Model → the AUROC of each head and of both; the share of the whitened statistics' variance that
    the model leaves of training images that it was not fitted to; and its steps.
  """
  known, test = (in_batches(measured, x).statistics for x in (opened.train, opened.test))
  blank = Detector(known.mean(0), *[None] * (len(Detector._fields) - 1))
  fold = deal_folds(opened.groups, FOLDS)
  plain = fit_whitenings(blank, known - blank.mean, fold, JUDGES)[0]
  whiten = jax.jit(lambda x: heads.whiten(plain.statistics, x - blank.mean))
  pooled = lambda x: heads.whiten(plain.whole, pool_mean(x - blank.mean, len(plain.whole)))
  known_z, test_z = in_batches(whiten, known), in_batches(whiten, test)
  inputs, test_inputs = (np.asarray(pooled(x)).reshape(len(x), -1) for x in (known, test))
  regression = fit_regression(inputs, fold)
  flat = known_z.reshape(len(known), -1)
  response = test_inputs @ regression.basis @ (regression.gains @ flat)
  left = {
    'nothing': (known_z, test_z, 0),
    'ridge': (
      (regression.left_out @ flat).reshape(known_z.shape),
      test_z - response.reshape(test_z.shape),
      0,
    ),
    **{f'G {code}': generator_residuals(code, known_z, test_z, fold) for code in CODES},
  }
  found: dict[str, Any] = {}
  for name, (own, other, steps) in left.items():
    detector, left_out = fit_whitenings(blank, own, fold, JUDGES)
    judged = jax.jit(lambda x, d=detector: heads.residual_maps(d, x))
    normal, scores = (heads.voice_scores(x, None) for x in (left_out, in_batches(judged, other)))
    found[name] = {'left': float(np.square(own).mean() / np.square(known_z).mean()), 'steps': steps}
    for key, used in (('both', JUDGES), *((name, (name,)) for name in JUDGES)):
      tails = fit_tails(np.stack([np.asarray(x) for judge in used for x in normal[judge]]))
      said = joint_score(tails, {judge: scores[judge] for judge in used})
      found[name][key] = image_auroc(opened.labels, np.asarray(said))
  return found


class SharedDiscriminator(nn.Module):
  """Judges each position by its surroundings."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Finds forged positions: [batch, p, p, c] → logits [batch, p, p]."""
    for _ in range(3):
      x = leaky_relu(nn.Conv(24, (3, 3))(x))
    return nn.Conv(1, (3, 3))(x)[..., 0]


@jax.jit
def look(detector: Detector, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """What D sees of images in [-1, 1], [batch, p, p, c], and -log p of the heads, [batch, heads]."""
  found = measure(images)
  residuals = heads.whiten(detector.statistics, heads.unexplained(detector, found.statistics))
  details = [
    found.detail[..., side] / getattr(detector, name) for name, side in heads.SIDES.items()
  ]
  detail = pool_max(jnp.concatenate(details, -1), residuals.shape[1])
  seen = jnp.concatenate([jnp.arcsinh(residuals), jnp.log1p(detail)], -1)
  scores = heads.voice_scores(heads.head_maps(detector, found), None)
  return seen.astype(jnp.float16), head_surprises(detector.tails, scores).T


@jax.jit
def forge(numbers: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Forges uint8 images; also how visibly pixels changed, float32 [batch, size, size]."""
  bands = frequency_decoupling(to_float(images), MIXED_BANDS)
  forged, changed = forge_mixtures(jax.random.key(numbers[0]), bands, tuple(FAMILIES))
  return jnp.round((forged + 1) * 127.5).astype(jnp.uint8), changed


def see(opened: Opened) -> dict[str, np.ndarray]:
  """Fits the heads to half of the training images, and looks at all others.

  Returns:
    What D sees of the other half ('normal'), of forged copies of it ('forged') and of the test
    images ('test'), each with what the heads say of it ('… heads'); how visible a forgery is at
    each position ('changed', [copies, p, p]); and the labels of the test images ('labels').
  """
  half = take_groups(opened.groups, len(opened.groups) // 2, SEED)
  detector = fit(in_batches(measured, opened.train[half]), opened.groups[half], tuple(heads.SHARES))
  copies = np.tile(opened.train[~half], (COPIES, 1, 1, 1))
  forged, changed = in_batches(forge, np.arange(len(copies)), copies)
  found = {'labels': opened.labels}
  for name, x in (('normal', opened.train[~half]), ('forged', forged), ('test', opened.test)):
    seen = in_batches(lambda x: look(detector.detector, to_float(x)), x)
    found[name], found[f'{name} heads'] = seen
  side = found['forged'].shape[1]
  return {**found, 'changed': np.asarray(pool_mean(changed[..., None], side))[..., 0]}


def saved(data_dir: str, name: str, size: int, workdir: Path) -> dict[str, np.ndarray]:
  """`see`, once for each set."""
  path = workdir / f'{name}-{size}.npz'
  if not path.exists():
    partial = path.with_name(f'.{path.name}')
    partial.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = see(open_set(data_dir, name, size))
    np.savez(partial, **found)
    partial.rename(path)
  with np.load(path) as file:
    return dict(file)


def try_discriminator(others: list[dict[str, np.ndarray]], own: dict[str, np.ndarray]) -> dict:
  """Trains D on all sets but one, and judges that one.

  Args:
    others: from `see`, of the sets to train on.
    own: of the set to judge.

  Returns:
    The AUROC of `bands`, of D and of both together, of the test images ('test') and of the set's
    own forged copies against their originals ('forged').
  """
  rng, side = np.random.default_rng(SEED), own['changed'].shape[1]

  def draw() -> tuple[np.ndarray, np.ndarray]:
    seen, changed = [], []
    for i in range(2 * BATCH):
      chosen = others[rng.integers(len(others))]
      kind = 'normal' if i % 2 else 'forged'
      k = rng.integers(len(chosen[kind]))
      rows, columns = (slice(x, x + CROP) for x in rng.integers(max(1, side - CROP + 1), size=2))
      seen.append(chosen[kind][k, rows, columns])
      changed.append(chosen['changed'][k, rows, columns] * (kind == 'forged'))
    return np.stack(seen).astype(np.float32), np.stack(changed).astype(np.float32)

  network = SharedDiscriminator()
  *_, params = train_steps(network, optax.sigmoid_binary_cross_entropy, draw, DISCRIMINATOR_STEPS)

  @jax.jit
  def score(x: jax.Array) -> jax.Array:
    """Of `exp` only the order and the logarithm matter, which is what `heads/tails.py` takes."""
    logits: Any = network.apply(params, x.astype(jnp.float32))
    logits = logits.reshape(len(x), -1)
    count = max(1, round(SHARE * logits.shape[1]))
    return jnp.exp(jax.lax.top_k(logits, count)[0].mean(-1))

  scores = {kind: in_batches(score, own[kind]) for kind in ('normal', 'forged', 'test')}
  tails, found = fit_tails(scores['normal'][None]), {}
  for kind in ('forged', 'test'):
    labels, d = own['labels'], scores[kind]
    said = own[f'{kind} heads']
    if kind == 'forged':
      labels = np.repeat([0, 1], [len(scores['normal']), len(d)])
      d, said = np.concatenate([scores['normal'], d]), np.concatenate([own['normal heads'], said])
    voices = jnp.concatenate([said, joint_score(tails, {'D': [d]})[:, None]], axis=1)
    found[kind] = {
      'bands': image_auroc(labels, np.asarray(combine(voices[:, :-1], axis=1))),
      'D': image_auroc(labels, d),
      'both': image_auroc(labels, np.asarray(combine(voices, axis=1))),
    }
  return found


def table(title: str, rows: dict[str, dict[str, float]]) -> list[str]:
  """A table in Markdown: set → variant → value; the last column is the mean."""
  text = ['', f'| {title} | ' + ' | '.join([*rows, 'mean']) + ' |', '|---' * (len(rows) + 2) + '|']
  for variant in next(iter(rows.values())):
    cells = [row[variant] for row in rows.values()]
    text.append(f'| {variant} | ' + ' | '.join(f'{x:.3f}' for x in [*cells, np.mean(cells)]) + ' |')
  return text


def generator_tables(rows: dict[str, dict[str, Any]]) -> list[str]:
  """The tables of `try_generator`; the width of G is also chosen by all sets but the column's."""
  text = []
  for key in ('both', *JUDGES, 'left'):
    cells = {name: {model: own[key] for model, own in row.items()} for name, row in rows.items()}
    if key != 'left' and len(rows) > 1:
      for name, own in cells.items():
        worth = lambda code, name=name: sum(
          row[f'G {code}']['both'] for other, row in rows.items() if other != name
        )
        own['G, width chosen by the others'] = own[f'G {max(CODES, key=worth)}']
    text += table(key, cells)
  return text


def discriminator_tables(rows: dict[str, dict[str, Any]]) -> list[str]:
  """The tables of `try_discriminator`."""
  kinds = ('test', 'forged')
  return [x for kind in kinds for x in table(kind, {name: row[kind] for name, row in rows.items()})]


def run(trial: str, data_dir: str, workdir: Path, sets: Sequence[str], size: int) -> str:
  """Runs a trial on all sets that have no row yet; returns the tables."""
  path = workdir / f'{trial}-{size}.jsonl'
  done = {row.pop('set'): row for row in read_lines(path)}
  for name in sets:
    if name in done:
      continue
    if trial == 'generator':
      done[name] = try_generator(open_set(data_dir, name, size))
    else:
      others = [saved(data_dir, other, size, workdir) for other in sets if other != name]
      done[name] = try_discriminator(others, saved(data_dir, name, size, workdir))
    append(path, {'set': name, **done[name]})
    print(f'{name}: done', file=sys.stderr)
  tables = generator_tables if trial == 'generator' else discriminator_tables
  text = '\n'.join([*tables({name: done[name] for name in sets}), ''])
  write_text(path.with_suffix('.md'), text)
  return text


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  if unknown := [name for name in values.sets if name not in SETS]:
    raise InputError(f'there is no {unknown[0]!r}; there are {", ".join(SETS)}')
  workdir = Path(values.workdir)
  print(run(values.trial, values.data_dir, workdir, values.sets, values.image_size))


if __name__ == '__main__':
  flags.DEFINE_enum('trial', None, ['generator', 'discriminator'], 'which trial')
  flags.DEFINE_string('data_dir', None, "folder that contains the datasets' folders")
  flags.DEFINE_string('workdir', 'runs/trials', 'folder for the rows and the tables')
  flags.DEFINE_list('sets', list(SETS), f'datasets: {", ".join(SETS)}')
  flags.DEFINE_integer('image_size', 256, 'side of the images')
  flags.mark_flags_as_required(['trial', 'data_dir'])
  command_line.run(main)
