"""OCR-GAN in JAX and Flax: find the defective images after seeing sound ones alone."""

__version__ = '0.1.0'
