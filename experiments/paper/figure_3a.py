"""Fig. 3a: the amplitude spectra of normal and anomalous images.

  python -m experiments.paper.figure_3a --data_dir=…/mvtec_ad --categories=bottle

Nothing is trained. The spectra are radial means over the test images in grey.
"""

from pathlib import Path

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from experiments.configs import config_of
from experiments.paper.experiment import MVTEC_ALL
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.framing import framing_of
from ocrgan_jax.data.images import load_images
from ocrgan_jax.drawing import figures


def spectra(images: np.ndarray) -> np.ndarray:
  """The radial means of the amplitude spectra of images.

  Args:
    images: uint8 [images, size, size, 3].

  Returns:
    float64 [images, size // 2]: the mean amplitude at 1, 2, … cycles per image, of grey values
    in [0, 1] under a Hann window.
  """
  size = images.shape[1]
  grey = images.astype(np.float64).mean(-1) / 255
  window = np.hanning(size)
  grey -= grey.mean((1, 2), keepdims=True)
  amplitude = np.abs(np.fft.fft2(grey * window * window[:, None]))
  frequency = np.fft.fftfreq(size, 1 / size)
  ring = np.rint(np.hypot(frequency, frequency[:, None])).astype(int).ravel()
  rings = np.arange(1, size // 2 + 1)
  counts = np.bincount(ring)[rings]
  return np.stack([np.bincount(ring, image.ravel())[rings] / counts for image in amplitude])


def draw(by_category: dict[str, dict[int, np.ndarray]], path: Path) -> None:
  """Draws the mean and standard deviation of both classes, one panel per category.

  Args:
    by_category: category → label → `spectra`.
    path: the PNG to write.
  """
  figure = Figure(figsize=(5 * len(by_category), 4))
  panels = figure.subplots(1, len(by_category), squeeze=False)[0]
  for panel, (category, by_label) in zip(panels, by_category.items(), strict=True):
    for label, name, color in figures.CLASSES[:2]:
      logs = np.log10(by_label[label])
      mean, deviation = logs.mean(0), logs.std(0)
      cycles = np.arange(1, len(mean) + 1)
      panel.plot(cycles, mean, color=color, label=f'{name} ({len(logs)} images)')
      panel.fill_between(cycles, mean - deviation, mean + deviation, color=color, alpha=0.2)
    panel.set(
      title=f'{category}: amplitude by frequency\nmean ± standard deviation over images',
      xlabel='cycles per image',
      ylabel='log10 of the mean amplitude',
      xscale='log',
    )
    panel.legend()
  figures.save(figure, path)


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  found: dict[str, dict[int, np.ndarray]] = {}
  if not values.categories:
    raise InputError('--categories names none')
  for category in values.categories:
    config = config_of('mvtec', category, 'paper')
    config.image_size = values.image_size
    test = prepare_dataset(values.data_dir, config.data).test
    if not {0, 1} <= {*test.labels.tolist()}:
      raise InputError(
        f'the test set of {category} in {values.data_dir} must have normal and anomalous images'
      )
    images = load_images(test, framing_of(config, None), memory_gib=config.data.memory_gib)
    found[category] = {
      label: spectra(images[np.flatnonzero(test.labels == label)]) for label in (0, 1)
    }
  path = Path(values.workdir, 'figure_3a.png')
  draw(found, path)
  print(f'picture: {path}')


if __name__ == '__main__':
  flags.DEFINE_string('data_dir', None, 'folder of MVTec AD')
  flags.DEFINE_string('workdir', 'runs/experiments', 'folder for the picture')
  flags.DEFINE_list('categories', list(MVTEC_ALL), 'categories, one panel each')
  flags.DEFINE_integer('image_size', 256, 'side of the images')
  flags.mark_flag_as_required('data_dir')
  command_line.run(main)
