"""Exports a trained model as StableHLO and ONNX, to run without this package."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import (
  check_writable,
  mark_output,
  user_path,
  write_bytes,
  write_json,
)
from ocrgan_jax.core.platforms import as_on_cpu
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.framing import decode_frames, region_png
from ocrgan_jax.data.images import decode_files
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.model.score_step import score_step

PLATFORMS = ('cpu', 'cuda', 'tpu')
OUTPUTS = ('score', 'map')
# The largest difference, in units of scores and maps. The same function rounds differently in other
# programs: bands are differences of nearly equal low-passes, and logarithms and small variances
# enlarge their rounding, so that a program for one image may differ by 2e-4 from one for sixteen. A
# thousandth is a tenth of the last digit that is printed, and a fault in an export is larger.
TOLERANCE = 1e-3
# A score's unit is at least this share of it: scores of normal images may hardly differ, and a
# relative difference of 1e-5 is rounding.
LEAST_UNIT = 0.01
CHECKED_IMAGES = 16
RESIZING = {
  'stretch': 'resize the photograph to the square, with area averaging where it shrinks',
  'pad': 'resize it with its aspect ratio, then pad with the median colour of its outer 2 %',
  'tiles': "cut overlapping squares of `tile` pixels; the photograph's score is their largest",
}


def export(
  workdir: str | Path,
  output: str | Path,
  *,
  protocol: str = 'last',
  images: Sequence[Path] = (),
  onnx: bool = False,
) -> dict[str, Any]:
  """Exports a trained model, compares it with its checkpoint, and writes it.

  Args:
    workdir: the run's folder.
    output: folder for `scorer.stablehlo`, `scorer.onnx` if wanted, and `scorer.json`, which
      describes the input, the outputs and the threshold.
    protocol: which checkpoint: 'last' or 'validation'.
    images: files for the comparison; by default images of the run's test set, or of its training
      set if there is none.
    onnx: whether to write ONNX, too.

  Returns:
    The content of `scorer.json`.

  Raises:
    InputError: if the run does not exist, an image cannot be read, or the exported scores or
      maps differ from the checkpoint's, see `compare`.
  """
  there = user_path(output)
  if there.exists() and not there.is_dir():
    raise InputError(f'{there} is a file; --output must be a folder')
  check_writable(there / 'scorer.json', '--output')
  scorer = load(workdir, protocol=protocol)
  samples = read_samples(scorer, images)
  size = scorer.model.image_size
  contents = {'scorer.stablehlo': to_stablehlo(scorer)}
  if onnx:
    contents['scorer.onnx'] = to_onnx(scorer)
  runners = {'scorer.stablehlo': run_stablehlo, 'scorer.onnx': run_onnx}
  description = {
    'input': {
      'shape': ['batch', size, size, scorer.model.channels],
      'dtype': 'uint8',
      'colours': (
        'RGB, and a fourth channel: 255 where a pixel counts, else 0'
        if scorer.model.has_valid
        else 'RGB'
      ),
    },
    'resizing': RESIZING[scorer.framing.fit],
    'fit': scorer.framing.fit,
    'tile': scorer.framing.tile or size,
    'overlap': scorer.framing.overlap,
    'region': 'region.png, of the whole photograph' if scorer.framing.region is not None else '',
    'outputs': {
      'score': f'float32 [batch], 0 to 1 over the {scorer.compared_with}, larger is more anomalous',
      'map': f'float32 [batch, {size}, {size}], anomalous where it is over map_limit',
    },
    'threshold': scorer.calibration.limit,
    'map_limit': scorer.map_limit(),
    'protocol': protocol,
    'step': scorer.step,
    'files': {
      name: {
        'images_compared': len(samples),
        'largest_difference': compare(scorer, samples, runners[name](content), name),
      }
      for name, content in contents.items()
    },
  }
  for name, content in contents.items():
    write_bytes(there / name, content)
  if not onnx:  # left by an earlier export; scorer.json would not describe it
    (there / 'scorer.onnx').unlink(missing_ok=True)
  if scorer.framing.region is not None:
    mark_output(there, 'region.png')
    write_bytes(there / 'region.png', region_png(scorer.framing.region))
  write_json(there / 'scorer.json', description)
  return description


def read_samples(scorer: Scorer, paths: Sequence[Path]) -> np.ndarray:
  """Reads real images for the comparison.

  Args:
    scorer: of the run.
    paths: image files; if empty, images spread over the test set, or over the training set if
      there is none.

  Returns:
    uint8 [images, size, size, channels].

  Raises:
    InputError: if an image cannot be read.
  """
  settings = scorer.config.data
  if not paths:
    try:
      dataset = prepare_dataset(scorer.config.data_dir, settings)
    except InputError as error:
      raise InputError(f'{error}; or name photographs to compare on after the flags') from None
    split = dataset.test if dataset.test.names else dataset.train
    chosen = np.linspace(0, len(split.names) - 1, CHECKED_IMAGES).astype(int)
    images = [
      decode_frames(split.records[int(i)]['image'], scorer.framing)[0] for i in np.unique(chosen)
    ]
    return np.concatenate(images)
  found = []
  for file in decode_files(paths[:CHECKED_IMAGES], scorer.framing, settings.max_megapixels):
    if file.images is None:
      raise InputError(f'cannot read {file.path}: {file.error}')
    found.append(file.images)
  return np.concatenate(found)


def scoring_function(scorer: Scorer) -> Callable[[Any], tuple[Any, ...]]:
  """Returns the function to export, weights included: images → OUTPUTS."""
  arrays = jax.tree.map(np.asarray, scorer.arrays)
  minimum, width = scorer.calibration.minimum, scorer.calibration.width

  def score(images: Any) -> tuple[Any, ...]:
    values = score_step(arrays, images, model=scorer.model)
    return (values['score'] - minimum) / width, values['map']

  return score


def to_stablehlo(scorer: Scorer) -> bytes:
  """Serializes the scorer with `jax.export`, for all of PLATFORMS and any batch size."""
  (batch,) = jax.export.symbolic_shape('batch')
  size, channels = scorer.model.image_size, scorer.model.channels
  shape = jax.ShapeDtypeStruct((batch, size, size, channels), np.uint8)
  function = jax.jit(scoring_function(scorer))
  return bytes(jax.export.export(function, platforms=PLATFORMS)(shape).serialize())


def to_onnx(scorer: Scorer) -> bytes:
  """Converts the scorer to ONNX with jax2onnx, for any batch size.

  For its `jnp.maximum` and `minimum`, a float32 and an integer make a float64, which the rest of
  the graph is not: what computes scores compares with 0.0, not with 0.
  """
  try:
    import jax2onnx
  except ImportError:
    raise InputError('ONNX needs more packages: pip install jax2onnx onnxruntime') from None
  logging.getLogger('onnx_ir').setLevel(logging.ERROR)  # it logs every omitted shape
  size = scorer.model.image_size
  shape = jax.ShapeDtypeStruct(('batch', size, size, scorer.model.channels), np.uint8)
  with as_on_cpu():
    model = jax2onnx.to_onnx(
      scoring_function(scorer), [shape], input_names=['images'], output_names=list(OUTPUTS)
    )
  # The converter records some wrong shapes of intermediate values. They are optional; runtimes
  # infer them.
  del model.graph.value_info[:]
  return model.SerializeToString()


def run_stablehlo(content: bytes) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
  """Loads the exported function from its bytes."""
  return jax.export.deserialize(bytearray(content)).call


def run_onnx(content: bytes) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
  """Loads the ONNX model in ONNX Runtime."""
  import onnxruntime

  session = onnxruntime.InferenceSession(content)
  return lambda images: session.run(list(OUTPUTS), {'images': images})


def compare(
  scorer: Scorer,
  images: np.ndarray,
  exported: Callable[[np.ndarray], tuple[np.ndarray, ...]],
  name: str,
) -> float:
  """Compares an exported function with its checkpoint, in one batch and image by image.

  Args:
    scorer: of the checkpoint.
    images: uint8 [images, size, size, channels].
    exported: the function, images → OUTPUTS.
    name: of the file, for the message.

  Returns:
    The largest difference: of scores in the unit of scaled scores (Eq. 14), of maps relative to the
    value that they have where the scaled score is 1, the highest of normal images.

  Raises:
    InputError: if the difference exceeds TOLERANCE.
  """
  scores, maps = scorer.score(images), scorer.maps(images)
  calibration = scorer.calibration
  score_unit = max(calibration.width, LEAST_UNIT * float(np.abs(scores).max()))
  map_unit = max(abs(scorer.map_limit(1.0)), float(np.finfo(np.float32).tiny))
  largest = 0.0
  for part in (slice(None), slice(0, 1)):
    score, anomaly_map = map(np.asarray, exported(images[part]))
    raw = score * calibration.width + calibration.minimum
    differences = (
      np.abs(raw - scores[part]) / score_unit,
      np.abs(anomaly_map - maps[part]) / map_unit,
    )
    largest = float(np.max([largest, *(d.max() for d in differences)]))  # NaN stays NaN
  if not largest <= TOLERANCE:
    raise InputError(
      f'{name} differs from the checkpoint by {largest:.2g} units of scores or maps, more than '
      f'{TOLERANCE:g}; nothing was written'
    )
  return largest
