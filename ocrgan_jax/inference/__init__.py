"""Uses a trained model: scores images and files, exports.

Start reading at `loading.py`.
"""
