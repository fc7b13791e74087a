"""Features of a network that was trained on ImageNet, as further measurements of an image.

Optional, and beyond the paper. Nothing is trained or downloaded: the weights come with a package.
"""
