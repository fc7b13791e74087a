"""Uses a trained model: scores images and files, recalibrates, exports.

Start reading at `loading.py`.
"""
