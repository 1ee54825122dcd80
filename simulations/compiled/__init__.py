"""Whole request traces through one pool, in code that a compiler takes: the fast twin of `simulations.serving`.

The modules are plain Python over records and arrays (layout.py), so they run without a compiler, slowly; `build.py`
compiles them with numba. What a hold rule weighs and what a step costs is not written here: they call the functions of
`shaping`, the same that the daemon calls. The plain path stays the reference, which this one equals bit by bit.
"""
