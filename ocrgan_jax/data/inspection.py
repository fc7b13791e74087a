"""Decodes and checks every image and mask before training."""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.decoding import mask_pixels, open_image, thumbnail, to_rgb
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  NORMAL,
  Example,
  Examples,
  name_some,
  no_sound_folder,
)
from ocrgan_jax.data.group_rules import NONE
from ocrgan_jax.data.grouping import Grouping, group_images
from ocrgan_jax.twins.squares import FINE

MOST = 0.5  # share of a mask's pixels; a defect is rarely larger

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
  """The result of checking one example."""

  example: Example  # without its mask if that cannot be used
  fault: str = ''  # why the image cannot be used
  mask_fault: str = ''  # why the mask cannot be used
  mask_share: float | None = None  # of the mask's pixels that are set
  mask_in_alpha: bool = False  # whether the mask's shape is in its alpha channel alone
  size: str = ''  # 'width×height'
  mode: str = ''  # of Pillow
  digest: str = ''  # of the pixels
  thumbnail: np.ndarray | None = None  # uint8 [128, 128], if it will be compared with others


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
  compared = groups != NONE
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    found = pool.map(lambda e: _inspect_one(e, max_megapixels, compared), everything)
    results = list(tqdm(found, 'checking images', len(everything), unit='image', leave=False))
  damaged = _find_damaged(results)
  if damaged and not skip_damaged:
    raise InputError(
      _name_with_reasons('damaged file', damaged) + '; repair or remove them, or leave them out '
      'with --config.data.skip_damaged=True'
    )
  usable = [result for result in results if not result.fault]
  num_train = sum(not result.fault for result in results[: len(examples.train)])
  if not num_train and needs_training:
    raise InputError('no usable normal training image; at least 2 are needed')
  grouping = group_images(
    [result.example for result in usable],
    num_train,
    np.stack([result.thumbnail for result in usable]) if compared else None,  # type: ignore[arg-type]
    rule=groups,
    train_share=examples.train_share,
    seed=split_seed,
  )
  ordered = [usable[image] for image in grouping.order]
  train, test = ordered[: grouping.num_train], ordered[grouping.num_train :]
  warnings = [*examples.warnings]
  if damaged:
    warnings.append(_name_with_reasons('damaged file', damaged, 'left out'))
  warnings += _find_warnings(train, test)
  report = {'skipped': damaged, 'warnings': warnings}
  report |= _describe(train, test) | _describe_groups(usable, grouping)
  return Examples([r.example for r in train], [r.example for r in test]), report


def print_warnings(report: dict[str, Any]) -> None:
  """Prints the warnings of a report on stderr."""
  for warning in report['warnings']:
    print(f'warning: {warning}', file=sys.stderr)


def _inspect_one(example: Example, max_megapixels: float, compared: bool) -> Inspected:
  try:
    example.name.encode()
    image = open_image(example.read(), max_megapixels)
    rgb = to_rgb(image)
  except UnicodeEncodeError:
    return Inspected(example, 'its name is not valid Unicode')
  except (ValueError, OSError) as error:
    return Inspected(example, _reason(error))
  pixels = np.asarray(rgb)
  digest = hashlib.blake2b(f'{pixels.shape}'.encode() + pixels.tobytes(), digest_size=16)
  result = Inspected(
    example,
    size=f'{image.width}×{image.height}',
    mode=image.mode,
    digest=digest.hexdigest(),
    thumbnail=thumbnail(rgb, FINE) if compared else None,
  )
  if example.mask is None:
    return result
  try:
    mask, in_alpha = mask_pixels(read_file(example.mask), max_megapixels)
    if mask.shape != image.size[::-1]:
      raise ValueError(f'it is {mask.shape[1]}×{mask.shape[0]}, its image {result.size}')
  except (ValueError, OSError) as error:
    return result._replace(example=example._replace(mask=None), mask_fault=_reason(error))
  return result._replace(mask_share=float(mask.mean()), mask_in_alpha=in_alpha)


def _reason(error: Exception) -> str:
  return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _find_damaged(results: Sequence[Inspected]) -> list[tuple[str, str]]:
  """Names and reasons of the images that cannot be used, then of the masks."""
  name = lambda result: result.example.name.encode(errors='backslashreplace').decode()
  images = [(name(r), r.fault) for r in results if r.fault]
  return images + [(f'mask of {name(r)}', r.mask_fault) for r in results if r.mask_fault]


def _find_warnings(train: Sequence[Inspected], test: Sequence[Inspected]) -> list[str]:
  """Warns about properties that are allowed but probably not intended."""
  trained = {r.digest: r.example.name for r in train}
  anomalous = [r.example for r in test if r.example.label == ANOMALOUS]
  leaked = [(r.example.name, f'is {trained[r.digest]}') for r in test if r.digest in trained]
  warnings = [_name_with_reasons('test image', leaked, 'also in training')] if leaked else []
  if not anomalous:
    warnings.append('no test image is labelled anomalous: AUROC will not be reported')
  elif not any(r.example.label == NORMAL for r in test):
    why = no_sound_folder(r.example.defect_type for r in test)
    warnings.append(f'no test image is labelled normal: AUROC will not be reported; {why}')
  unmasked = [example.name for example in anomalous if not example.mask]
  if unmasked and any(r.example.mask for r in test):
    warnings.append(name_some('anomalous image', unmasked, 'without a mask'))
  return warnings + _find_mask_warnings(test)


def _find_mask_warnings(test: Iterable[Inspected]) -> list[str]:
  """Warns about masks that are allowed but probably do not mark the defect."""
  masks = [
    (f'{r.example.mask.parent.name}/{r.example.mask.name}', r) for r in test if r.example.mask
  ]
  kinds = (
    (
      [(name, f'{r.mask_share:.0%}') for name, r in masks if (r.mask_share or 0) > MOST],
      'with most pixels set, perhaps inverted (the defect must be white, the rest black)',
    ),
    (
      [(name, 'all 0') for name, r in masks if r.mask_share == 0],
      'without a set pixel, ignored for pixel metrics',
    ),
    (
      [(name, 'of one colour') for name, r in masks if r.mask_in_alpha],
      'with a shape in the alpha channel alone: its opaque pixels count as defective',
    ),
  )
  return [_name_with_reasons('mask', found, what) for found, what in kinds if found]


def _name_with_reasons(noun: str, found: Sequence[tuple[str, str]], what: str = '') -> str:
  return name_some(noun, [f'{name} ({reason})' for name, reason in found], what)


def _describe(train: Sequence[Inspected], test: Sequence[Inspected]) -> dict[str, Any]:
  """The parts of the report that each image contributes to by itself."""
  splits, everything = {'train': train, 'test': test}, [*train, *test]
  types = {split: Counter(r.example.defect_type for r in side) for split, side in splits.items()}
  return {
    'counts': {split: dict(sorted(counter.items())) for split, counter in types.items()},
    'sizes': _most_common(Counter(r.size for r in everything)),
    'modes': _most_common(Counter(r.mode for r in everything)),
    'masks': sum(r.example.mask is not None for r in everything),
    'digests': {split: [r.digest for r in side] for split, side in splits.items()},
  }


def _describe_groups(images: Sequence[Inspected], grouping: Grouping) -> dict[str, Any]:
  """The parts of the report that come from comparing images."""
  count = grouping.num_train
  split = {image: 'train' for image in grouping.order[:count].tolist()}
  named = lambda image: [split.get(image, 'test'), images[image].example.name]
  groups, similarity = grouping.groups.tolist(), grouping.similarity
  return {
    'groups': {'train': groups[:count], 'test': groups[count:]},
    'similarity': [] if similarity is None else [round(x, 4) for x in similarity.tolist()],
    'pairs': [[named(a), named(b), round(value, 4)] for a, b, value in grouping.pairs],
  }


def _most_common(counter: Counter[str]) -> dict[str, int]:
  """The most common entries; all others are summed up."""
  common = dict(counter.most_common(8))
  others = counter.total() - sum(common.values())
  return common | ({'others': others} if others else {})
