"""Kernels: RoI pooling, non-maximum suppression and Winograd's convolution."""
