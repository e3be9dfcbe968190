"""Kernels: RoI pooling and non-maximum suppression."""
