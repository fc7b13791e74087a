"""Exports a trained model so that it runs without this package.

`python -m ocrgan_jax.export --workdir=… [IMAGE…]` writes the scorer as StableHLO and, with
--onnx, as ONNX: uint8 images in, scores and anomaly maps out, any batch size. It first compares
the result with the checkpoint on real images, and writes nothing if they differ.
"""

from pathlib import Path

from absl import flags

from ocrgan_jax.core import command_line
from ocrgan_jax.inference.export import export
from ocrgan_jax.inference.predict_files import find_images


def main(arguments: list[str]) -> None:
  """Runs the command."""
  values = flags.FLAGS
  output = Path(values.output or Path(values.workdir) / 'export')
  images = find_images(arguments) if arguments else []
  written = export(
    values.workdir, output, protocol=values.protocol, images=images, onnx=values.onnx
  )
  for name, row in written['files'].items():
    print(
      f'{output / name}: matches the checkpoint on {row["images_compared"]} images, '
      f'largest difference {row["largest_difference"]:.1g} (of a score of 1)'
    )


if __name__ == '__main__':
  command_line.define_run_flags()
  flags.DEFINE_string('output', '', 'folder for the exported files; by default <workdir>/export')
  flags.DEFINE_bool('onnx', False, 'also write ONNX')
  command_line.run(main, takes_arguments=True)
