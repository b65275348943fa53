"""Kernels compiled with Numba: file, name and arguments are those of the formula."""
