"""Makes a model of photographs: a recipe fits (`bands.py`) or trains (`networks.py`).

Start reading at `train.py`.
"""
