"""Functions captured once and replayed as one program: capture → lower → fuse → plan → emit → run.

`capture` notes down the operations of one run; `lower` says by running forward functions on symbols (`symbol`) what
they are made of, as a `graph`; `fuse` joins its nodes to loops; `emit` writes them in LLVM's language (`arithmetic`),
`codegen` compiles and keeps them; `program` gives everything its place in `memory`; `replay` runs it.
"""

from autograd_core.compiler.compiled import Compiled
from autograd_core.errors import TracedValueError
