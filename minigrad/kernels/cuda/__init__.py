"""CUDA versions of the formulas: .cu sources, and the launcher that compiles and starts them."""
