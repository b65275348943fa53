"""How NumPy and CuPy carry things out, by the names that both have: ``name(xp, …)``.

Convolutions as matrix products, pooling, resizing, steps of optimizers over lists; and `running`,
which takes a formula through large arrays. Images are (N, C, *spatial) in shape and channels-last
in memory.
"""
