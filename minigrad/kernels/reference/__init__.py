"""The formulas, one file per operation: ``name(xp, …)`` over the names NumPy and CuPy share.

Fused formulas (norms, gelu, softmax …) come in pairs ``f`` and ``f_vjp`` and also run with
``xp = minigrad.ops``, where they can be differentiated; they change nothing in place. Structural
kernels (conv, pool, separable) take plain arrays only. Images are (N, C, *spatial) in shape and
channels-last in memory.
"""
