"""The hostile matrix: every public operation on every kind of operand, each call in a process that may die.

    make hostile                       all parts; ARGS="--quick" for the short form
    python -m tools.hostile --cell eager/ag.exp/0/nan/all     one cell alone

A cell is one call. It is right when its result equals the reference (NumPy, SciPy or a slow twin, or for memory
layouts the same call on a plain copy), or when it raises an error that names the operation. Anything else is bad:
another value, another kind of error, a changed input, a crash, a hang.

Subjects come from the registry, the public functions and the methods of Tensor, so that new operations are tested
without being added here: see `subjects.py`.
"""
