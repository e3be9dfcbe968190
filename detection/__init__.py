"""Faster R-CNN as in the appendix of *Deep Residual Learning* (He et al. 2015)."""

__version__ = "0.1.0"
