"""ConvNeXt as other systems call it: one module for each, thin, over `minigrad.models`.

`minigrad.compat.medicai`, `minigrad.compat.dl_techniques`, `minigrad.compat.lucid` and
`minigrad.compat.edifice` have the names and signatures of those systems; `minigrad.compat.keras`
the few parts of Keras that the first two use. Models in the manner of Keras take images
channels-last, (N, H, W, C). That costs nothing: it is how minigrad keeps them in memory.
"""
