"""Fig. 3a: the amplitude spectra of normal and anomalous images.

  python -m experiments.paper.figure_3a --data_dir=…/mvtec_ad --categories=bottle

Nothing is trained. The spectra are radial means over the test images in grey.
"""

from pathlib import Path

import numpy as np
from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.configs import config_of
from experiments.paper.experiment import MVTEC_ALL
from experiments.tested import images_of
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.data.images import Images
from ocrgan_jax.drawing import figures


def spectra(images: Images) -> np.ndarray:
  """The radial means of the amplitude spectra of images.

  Args:
    images: uint8 [images, size, size, 3].

  Returns:
    float64 [images, size // 2]: the mean amplitude at 1, 2, … cycles per image, of grey values
    in [0, 1] under a Hann window.
  """
  grey = images[np.arange(len(images))].astype(np.float64).mean(-1) / 255
  size = grey.shape[1]
  window = np.hanning(size)
  grey -= grey.mean((1, 2), keepdims=True)
  amplitude = np.abs(np.fft.fft2(grey * window * window[:, None]))
  frequency = np.fft.fftfreq(size, 1 / size)
  ring = np.rint(np.hypot(frequency, frequency[:, None])).astype(int).ravel()
  rings = np.arange(1, size // 2 + 1)
  counts = np.bincount(ring)[rings]
  return np.stack([np.bincount(ring, image.ravel())[rings] / counts for image in amplitude])


def draw(panel: Axes, category: str, labels: np.ndarray, of_images: np.ndarray) -> None:
  """Draws the mean and standard deviation of the spectra of both classes of a category."""
  for label, name, color in figures.CLASSES[:2]:
    logs = np.log10(of_images[labels == label])
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


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  if not values.categories:
    raise InputError('--categories names none')
  figure = Figure(figsize=(5 * len(values.categories), 4))
  panels = figure.subplots(1, len(values.categories), squeeze=False)[0]
  for panel, category in zip(panels, values.categories, strict=True):
    config = config_of('mvtec', category, 'paper', {'image_size': values.image_size})
    test = prepare_dataset(values.data_dir, config.data).test
    if not {NORMAL, ANOMALOUS} <= {*test.labels.tolist()}:
      raise InputError(
        f'the test set of {category} in {values.data_dir} must have normal and anomalous images'
      )
    draw(panel, category, test.labels, spectra(images_of(config, test)))
  path = Path(values.workdir, 'figure_3a.png')
  figures.save(figure, path)
  print(f'picture: {path}')


if __name__ == '__main__':
  flags.DEFINE_string('data_dir', None, 'folder of MVTec AD')
  flags.DEFINE_string('workdir', 'runs/experiments', 'folder for the picture')
  flags.DEFINE_list('categories', list(MVTEC_ALL), 'categories, one panel each')
  flags.DEFINE_integer('image_size', 256, 'side of the images')
  flags.mark_flag_as_required('data_dir')
  command_line.run(main)
