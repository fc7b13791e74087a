"""Estimates how long the paper's experiments take on one accelerator.

  python -m experiments.paper.hours

Nothing is measured: the FLOPs of the training steps, counted by hand
(`experiments/benchmark/flops.py`), are divided by the rate that one card sustained. Compilation,
validation and evaluation come on top.
"""

from absl import flags

from experiments.benchmark.flops import flops_by_hand
from experiments.benchmark.programs import Shape
from ocrgan_jax.core import command_line

EPOCHS, HELD_OUT = 200, 0.1
# Image size → TFLOP/s of the training step at width 64, on an NVIDIA H200 (docs/accelerators.md),
# which computes as fast as an H100. Narrower models reach less.
RATES = {256: 112.7, 32: 14.7}
# Experiment → training images in all its categories, image size, widths, and runs of each width
# (seeds times settings). MVTec AD has 3,629 training images. By the paper, one in eight of DAGM's
# 8,050 images has a defect, and 347 images of KolektorSDD have none.
MVTEC = 3629
EXPERIMENTS: dict[str, tuple[int, int, tuple[int, ...], int]] = {
  'table_1': (MVTEC, 256, (64,), 5),
  'table_2': (7044, 256, (64,), 5),
  'table_3': (278, 256, (64,), 5),
  'table_4, s1': (50_000, 32, (64,), 5),
  'table_4, s2': (450_000, 32, (64,), 5),
  'table_5': (MVTEC, 256, (64,), 5 * 9),
  'table_6': (MVTEC, 256, (64,), 5 * 4),
  'table_7': (MVTEC, 256, (64,), 5 * 7),
  'figure_7': (MVTEC, 256, (64,), 5 * 6),
  # Five settings of 200 epochs, and one each of 25, 50, 100 and 400, which are about as long as
  # three more. The narrow models are not counted.
  'open_choices': (MVTEC, 256, (64,), 5 * 8),
  'figure_11': (MVTEC, 256, (64, 32, 16, 8, 4, 2, 1), 5),
}


def hours(images: int, size: int, widths: tuple[int, ...], runs: int, teraflops: float) -> float:
  """The hours of an experiment, whose numbers are as in EXPERIMENTS.

  Args:
    images: training images.
    size: side of the images.
    widths: widths of G.
    runs: runs of each width.
    teraflops: sustained TFLOP/s; 0 for those of RATES.
  """
  trained = images * (1 - HELD_OUT) * EPOCHS * runs
  # In Fig. 11, D keeps its width while G gets narrower.
  each = (flops_by_hand(Shape(size, width, 1), max(widths))['train'] for width in widths)
  return trained * sum(each) / (teraflops or RATES[size]) / 1e12 / 3600


def main() -> None:
  """Runs the command."""
  teraflops = flags.FLAGS.teraflops
  print('| | estimated hours of training |')
  print('|---|---|')
  for name, numbers in EXPERIMENTS.items():
    print(f'| {name} | {hours(*numbers, teraflops=teraflops):.1f} |')


if __name__ == '__main__':
  flags.DEFINE_float('teraflops', 0.0, 'sustained TFLOP/s; 0: those of one H200')
  command_line.run(main)
