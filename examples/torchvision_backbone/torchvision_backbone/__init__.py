"""Backbones of torchvision for the detector of the package ``detection``."""
