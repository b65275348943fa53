"""Kernels compiled with Numba: file names, names and arguments are those of `reference`."""
