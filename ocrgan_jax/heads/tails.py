"""Puts all heads into one unit: how rare their score is among normal images.

The unit is -log p, where p is the share of normal images with at least that score, by the scores of
training images that were left out of the fit. Up to the ninth decile p is counted. Above it, the
logarithm of a score is taken to have an exponential tail whose rate is known only from k excesses,
so that p = (1 + excess / (k γ))^-k. With few images, k is small and the tail heavy: a head that was
fitted to few images is never very sure.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

LEVELS = np.arange(0, 1.0, 0.1)  # quantiles that are kept
# Before any image is seen, the tail of a log score is taken to be this wide, as if these many
# excesses had shown it. Both are from what heads show on real products.
PRIOR_SCALE, PRIOR_COUNT = 0.15, 2
LEAST = 1e-9  # scores are at least this before the logarithm


class Tails(NamedTuple):
  """The distribution of each score over normal images.

  Attributes:
    knots: the log scores at LEVELS, float32 [scores, len(LEVELS)], ascending.
    scale: γ, the mean excess of the log score over the last knot, float32 [scores].
    excesses: k, float32.
  """

  knots: np.ndarray
  scale: np.ndarray
  excesses: np.ndarray


def fit_tails(scores: np.ndarray) -> Tails:
  """Fits the tails.

  Args:
    scores: of normal images that were left out of the fit, float [scores, images], at least 0.

  Returns:
    The tails.
  """
  logs = np.log(np.maximum(scores, LEAST))
  knots = np.quantile(logs, LEVELS, axis=1).T
  excess = np.maximum(logs - knots[:, -1:], 0)
  number = np.ceil(scores.shape[1] * (1 - LEVELS[-1]))
  # The spread of the body gives the unit of this score.
  prior = PRIOR_SCALE + 0.5 * (knots[:, 7] - knots[:, 3])
  scale = (excess.sum(1) + PRIOR_COUNT * prior) / (number + PRIOR_COUNT)
  return Tails(*(np.asarray(x, np.float32) for x in (knots, scale, number + PRIOR_COUNT)))


def surprise(tails: Tails, numbers: Any, scores: jax.Array) -> jax.Array:
  """Computes -log p of some scores; it never falls as a score rises.

  Args:
    tails: from `fit_tails`.
    numbers: of the scores in the tails, int [k].
    scores: at least 0, [k, …].

  Returns:
    float32, shaped like `scores`.
  """
  logs = jnp.log(jnp.maximum(scores, LEAST))
  apart = (len(numbers),) + (1,) * (logs.ndim - 1)  # so that each score has its own knots
  knots = tails.knots[np.asarray(numbers)].reshape(*apart, len(LEVELS))
  scale = tails.scale[np.asarray(numbers)].reshape(apart)
  # Between two knots, -log p is taken to be linear.
  rarity = np.diff(-np.log1p(-LEVELS)).astype(np.float32)
  width = jnp.maximum(knots[..., 1:] - knots[..., :-1], LEAST)
  value = (jnp.clip((logs[..., None] - knots[..., :-1]) / width, 0.0, 1.0) * rarity).sum(-1)
  excess = jnp.maximum(logs - knots[..., -1], 0.0)
  return value + tails.excesses * jnp.log(1 + excess / (tails.excesses * scale))


def place_surprise(tails: Tails, numbers: Any, maps: jax.Array) -> jax.Array:
  """The same for maps [k, batch, side, side], place by place.

  Most places are below all scores, where `surprise` is 0. There the value goes on falling with the
  logarithm, so that places can be compared.
  """
  lowest = tails.knots[numbers, 0].reshape(-1, 1, 1, 1)
  return surprise(tails, numbers, maps) + jnp.minimum(
    jnp.log(jnp.maximum(maps, LEAST)) - lowest, 0.0
  )


def head_surprises(tails: Tails, scores: dict[str, list[Any]]) -> jax.Array:
  """The surprise of each head: head → [batch] per score → float32 [heads, batch]."""
  every = [score for own in scores.values() for score in own]
  found = surprise(tails, np.arange(len(every)), jnp.stack(every))
  ends = np.cumsum([len(own) for own in scores.values()])
  return jnp.stack([combine(own) for own in jnp.split(found, ends[:-1])])


def joint_score(tails: Tails, scores: dict[str, list[Any]]) -> jax.Array:
  """One score from all scores: head → [batch] per score → float32 [batch]."""
  return combine(head_surprises(tails, scores))


def combine(surprises: jax.Array, axis: int = 0) -> jax.Array:
  """Combines several -log p into one: minus the logarithm of the harmonic mean of p.

  It needs no independence (Wilson, The harmonic mean p-value, 2019). One rare p decides, however
  many others are common: a head that is not surprised has no say.

  Args:
    surprises: float32; one per score along `axis`.
    axis: of the scores.

  Returns:
    float32, without that axis.
  """
  return jax.nn.logsumexp(surprises, axis=axis) - np.float32(np.log(surprises.shape[axis]))
