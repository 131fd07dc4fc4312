"""Where the time of a computation goes: `ag.profile()`, its tables, its picture and its trace."""

from autograd_core.profiler.costs import Cost, Line, Module, Operation
from autograd_core.profiler.profile import Profile

__all__ = ["Cost", "Line", "Module", "Operation", "Profile"]
