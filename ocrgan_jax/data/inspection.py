"""Decodes and checks every image and mask before training."""

import hashlib
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.decoding import mask_pixels, open_image, thumbnail, to_rgb
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  NORMAL,
  Example,
  Examples,
  no_sound_folder,
)
from ocrgan_jax.data.grouping import group_images
from ocrgan_jax.data.groups import NONE
from ocrgan_jax.twins.squares import FINE

MOST = 0.5  # share of a mask's pixels; a defect is rarely larger
NAMED = 3  # files that a message names; the rest are only counted

CONVERSIONS = {
  '1': 'black and white, to three equal channels',
  'L': 'grey, to three equal channels',
  'LA': 'grey, its transparency dropped',
  'P': 'palette, to RGB',
  'RGBA': 'its transparency dropped',
  'CMYK': 'to RGB',
  'I': 'deep grey, read as 16-bit',
  'I;16': '16-bit grey, scaled to 8 bits and three equal channels',
}


class Inspected(NamedTuple):
  """The result of checking one example.

  Attributes:
    fault: why the image cannot be used, or ''.
    mask_fault: why the mask cannot be used, or ''.
    mask_share: share of the mask's pixels that are set, None without a mask.
    mask_in_alpha: whether the mask's shape is in its alpha channel alone.
    size: 'width×height'.
    mode: Pillow mode of the image.
    digest: hash of the pixels.
    thumbnail: small and grey, uint8 [128, 128], if asked for.
  """

  fault: str = ''
  mask_fault: str = ''
  mask_share: float | None = None
  mask_in_alpha: bool = False
  size: str = ''
  mode: str = ''
  digest: str = ''
  thumbnail: np.ndarray | None = None


def inspect(
  examples: Examples,
  *,
  max_megapixels: float,
  skip_damaged: bool,
  groups: str = NONE,
  split_seed: int = 0,
  needs_training: bool = True,
) -> tuple[Examples, dict[str, Any]]:
  """Decodes and checks all images and masks of a dataset.

  Args:
    examples: the examples of the dataset.
    max_megapixels: larger images are rejected; 10^6 pixels.
    skip_damaged: leave damaged images and masks out instead of raising an error.
    groups: the config's `data.groups`.
    split_seed: draws the training images of a dataset without an official split.
    needs_training: whether a dataset without training images is refused.

  Returns:
    The usable examples and a report: `counts` (split → defect type → number of images),
    `sizes` and `modes` (→ number of images), `masks` (number of images with a mask), `skipped`
    ([name, reason]), `warnings` (one line each), `digests` (split → hashes of the pixels),
    `groups` (split → group of each image), `similarity` (of each test image to the nearest
    training image) and `pairs` ([[split, name], [split, name], similarity], worth a look). The last
    two are empty if `groups` is 'none'.

  Raises:
    InputError: if an image or mask is damaged and `skip_damaged` is off, if no normal
      training image remains, or if the groups cannot be read.
  """
  everything = [*examples.train, *examples.test]
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    compared = groups != NONE
    found = pool.map(lambda e: _inspect_one(e, max_megapixels, compared), everything)
    results = list(tqdm(found, 'checking images', len(everything), unit='image', leave=False))

  faults = [
    [_printable(e.name), r.fault] for e, r in zip(everything, results, strict=True) if r.fault
  ]
  mask_faults = [
    [f'mask of {_printable(e.name)}', r.mask_fault]
    for e, r in zip(everything, results, strict=True)
    if r.mask_fault
  ]
  if (faults or mask_faults) and not skip_damaged:
    raise InputError(
      f'{_count(faults + mask_faults, "damaged file")}: {_name_some(faults + mask_faults)}; repair '
      'or remove them, or leave them out with --config.data.skip_damaged=True'
    )

  def usable(part: slice) -> list[tuple[Example, Inspected]]:
    return [
      (e._replace(mask=None) if r.mask_fault else e, r)
      for e, r in zip(everything[part], results[part], strict=True)
      if not r.fault
    ]

  count = len(examples.train)
  train, test = usable(slice(count)), usable(slice(count, None))
  if not train and needs_training:
    raise InputError('no usable normal training image; at least 2 are needed')
  both = train + test
  grouping = group_images(
    [e for e, _ in both],
    len(train),
    np.stack([r.thumbnail for _, r in both if r.thumbnail is not None]) if compared else None,
    rule=groups,
    train_share=examples.train_share,
    seed=split_seed,
  )
  place = {int(image): i for i, image in enumerate(grouping.order)}
  train = [both[i] for i in grouping.order[: grouping.num_train]]
  test = [both[i] for i in grouping.order[grouping.num_train :]]
  named = lambda image: [
    'train' if place[image] < grouping.num_train else 'test',
    both[image][0].name,
  ]

  warnings = [*examples.warnings]
  if faults or mask_faults:
    warnings.append(
      f'{_count(faults + mask_faults, "damaged file")} left out: {_name_some(faults + mask_faults)}'
    )
  warnings += _find_warnings(train, test)
  report = {
    'counts': {
      split: dict(sorted(Counter(e.defect_type for e, _ in side).items()))
      for split, side in (('train', train), ('test', test))
    },
    'sizes': _most_common(Counter(r.size for _, r in train + test)),
    'modes': _most_common(Counter(r.mode for _, r in train + test)),
    'masks': sum(e.mask is not None for e, _ in train + test),
    'skipped': faults + mask_faults,
    'warnings': warnings,
    'digests': {
      split: [r.digest for _, r in side] for split, side in (('train', train), ('test', test))
    },
    'groups': {
      'train': grouping.groups[: len(train)].tolist(),
      'test': grouping.groups[len(train) :].tolist(),
    },
    'similarity': [] if grouping.similarity is None else _rounded(grouping.similarity),
    'pairs': [[named(a), named(b), round(value, 4)] for a, b, value in grouping.pairs],
  }
  return Examples([e for e, _ in train], [e for e, _ in test]), report


def print_warnings(report: dict[str, Any]) -> None:
  """Prints the warnings of a report on stderr."""
  for warning in report['warnings']:
    print(f'warning: {warning}', file=sys.stderr)


def _inspect_one(example: Example, max_megapixels: float, compared: bool) -> Inspected:
  """Checks one example; keeps a thumbnail if it will be compared with others."""
  try:
    example.name.encode()
    image = open_image(example.read(), max_megapixels)
    rgb = to_rgb(image)
    pixels = np.asarray(rgb)
  except UnicodeEncodeError:
    return Inspected(fault='its name is not valid Unicode')
  except (ValueError, OSError) as error:
    return Inspected(fault=_reason(error))
  mask_fault, mask_share, in_alpha = '', None, False
  if example.mask is not None:
    try:
      mask, in_alpha = mask_pixels(read_file(example.mask), max_megapixels)
      mask_share = float(mask.mean())
      if mask.shape != image.size[::-1]:
        mask_fault = f'it is {mask.shape[1]}×{mask.shape[0]}, its image {_size(image)}'
    except (ValueError, OSError) as error:
      mask_fault = _reason(error)
  digest = hashlib.blake2b(
    f'{pixels.shape}'.encode() + pixels.tobytes(), digest_size=16
  ).hexdigest()
  small = thumbnail(rgb, FINE) if compared else None
  return Inspected('', mask_fault, mask_share, in_alpha, _size(image), image.mode, digest, small)


def _find_warnings(
  train: list[tuple[Example, Inspected]], test: list[tuple[Example, Inspected]]
) -> list[str]:
  """Warns about properties that are allowed but probably not intended."""
  warnings = []
  trained = {r.digest: e.name for e, r in train}
  leaked = [[e.name, f'is {trained[r.digest]}'] for e, r in test if r.digest in trained]
  if leaked:
    warnings.append(f'{_count(leaked, "test image")} also in training: {_name_some(leaked)}')
  labels = {e.label for e, _ in test}
  if ANOMALOUS not in labels:
    warnings.append('no test image is labelled anomalous: AUROC will not be reported')
  elif NORMAL not in labels:
    why = no_sound_folder(e.defect_type for e, _ in test)
    warnings.append(f'no test image is labelled normal: AUROC will not be reported; {why}')
  unmasked = [[e.name, 'anomalous'] for e, _ in test if e.label == ANOMALOUS and not e.mask]
  if unmasked and any(e.mask for e, _ in test):
    warnings.append(f'{_count(unmasked, "anomalous image")} without a mask: {_name_some(unmasked)}')
  return warnings + _find_mask_warnings(test)


def _find_mask_warnings(test: list[tuple[Example, Inspected]]) -> list[str]:
  """Warns about masks that are allowed but probably do not mark the defect."""
  masks = [(f'{e.mask.parent.name}/{e.mask.name}', r) for e, r in test if e.mask]
  full = [
    [name, f'{r.mask_share:.0%}'] for name, r in masks if r.mask_share and r.mask_share > MOST
  ]
  empty = [[name, 'all 0'] for name, r in masks if r.mask_share == 0]
  alpha = [[name, 'of one colour'] for name, r in masks if r.mask_in_alpha]
  found = [
    (full, 'with most pixels set, perhaps inverted (the defect must be white, the rest black)'),
    (empty, 'without a set pixel, ignored for pixel metrics'),
    (alpha, 'with a shape in the alpha channel alone: its opaque pixels count as defective'),
  ]
  return [f'{_count(items, "mask")} {what}: {_name_some(items)}' for items, what in found if items]


def _reason(error: Exception) -> str:
  return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _printable(name: str) -> str:
  return name.encode(errors='backslashreplace').decode()


def _rounded(similarity: np.ndarray) -> list[float]:
  return [round(float(value), 4) for value in similarity]


def _size(image: Image.Image) -> str:
  return f'{image.width}×{image.height}'


def _count(items: list[Any], noun: str) -> str:
  return f'{len(items)} {noun}' + ('' if len(items) == 1 else 's')


def _name_some(items: list[list[str]]) -> str:
  named = ', '.join(f'{name} ({reason})' for name, reason in items[:NAMED])
  rest = len(items) - NAMED
  return named + (f' and {rest} more' if rest > 0 else '')


def _most_common(counter: Counter[str]) -> dict[str, int]:
  """The most common entries; all others are summed up."""
  common = dict(counter.most_common(8))
  others = sum(counter.values()) - sum(common.values())
  return common | ({'others': others} if others else {})
