import numpy as np

from ocrgan_jax.figures import outlined, overlaid


def test_the_outline_lies_around_the_mask_and_leaves_the_defect_in_sight() -> None:
  image = np.full((16, 16, 3), 100, np.uint8)
  mask = np.zeros((16, 16), bool)
  mask[5:9, 5:9] = True
  drawn = outlined(image, mask)
  changed = (drawn != image).any(-1)
  assert (drawn[mask] == 100).all()
  assert changed.sum() == 16 and changed[4, 5:9].all()  # four sides of four pixels
  assert outlined(image, None) is image


def test_an_overlay_colours_only_what_exceeds_normal_images() -> None:
  image = np.full((4, 4, 3), 100, np.uint8)
  anomaly_map = np.full((4, 4), 2.0)
  anomaly_map[1, 2] = 6.0
  drawn = overlaid(image, anomaly_map, normal_maximum=2.0)
  changed = (drawn != image).any(-1)
  assert changed.sum() == 1 and drawn[1, 2, 0] > 200 > 50 > drawn[1, 2, 1]  # red
