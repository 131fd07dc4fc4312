"""Teaching mode: the reverse sweep step by step, in Python and as a page.

>>> import autograd_core as ag
>>> x, y = ag.tensor(2.0, requires_grad=True), ag.tensor(3.0, requires_grad=True)
>>> for step in ag.sin(x * y).backward_steps():
...     print(step)
step 1 of 2: sin   g = 1 → x gets g · cos(x) = 0.9602
step 2 of 2: multiply   g = 0.9602 → x gets g · y = 2.881, y gets g · x = 1.92
>>> x.grad
tensor(2.8805108, dtype=float32)

Stages, one file each: steps (the sweep) → rules (what a rule's source says) → page (page.html, filled in).
"""

from autograd_core.teaching.steps import BackwardStep, BackwardSteps

__all__ = ["BackwardStep", "BackwardSteps"]
