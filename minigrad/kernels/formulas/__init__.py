"""The formulas, one file per operation: ``name(xp, …)`` over NumPy's names.

They come in pairs ``f`` and ``f_vjp``, change nothing in place, and also run with
``xp = minigrad.ops``, where they can be differentiated.
"""
