"""What numba does to make a kernel: of its passes those that kernels need, and machine code only for what is called.

numba compiles each inner function as if it were called by itself: it optimises it and makes machine code, and then
links its code into each kernel that calls it, where all is optimised again. Here an inner function is only linked.
Passes for what kernels do not use (closures, literal_unroll, array expressions …) are left out: each walks over the
whole function, and most find anew which variables live. resnet20's kernels compile in 5.7 s instead of 8.2, and run as
fast. To optimise the kernel's own function in fewer passes of LLVM as well saved 0.5 s more, and some ran 5 to 10 %
slower.

This is numba's private side: importing it from a numba that has been rebuilt is an error, and then `jit` goes its way.
"""

from __future__ import annotations

from typing import Any

from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass

_PASSES = (
    untyped_passes.TranslateByteCode, untyped_passes.FixupArgs, untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites, untyped_passes.ReconstructSSA, untyped_passes.DeadBranchPrune,
    typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis, typed_passes.IRLegalization,
    typed_passes.AnnotateTypes,
)  # fmt: skip


class _InnerLibrary(JITCodeLibrary):
    """The code of an inner function, as numba wrote it: what it is linked into is optimised."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout  # pyright: ignore[reportAttributeAccessIssue]

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


for _name in ("_optimize_functions", "_optimize_final_module", "_finalize_final_module"):
    if not hasattr(JITCodeLibrary, _name):
        raise ImportError(f"this numba's libraries have no {_name}")


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(typed_passes.NativeLowering):
    """From numba's language to LLVM's, and no further."""

    _name = "inner_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _InnerLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        # numba asks for something that Python can call; this raises an error for whatever it is given.
        state.cr = state.cr._replace(cfunc=[].pop)
        state.targetctx.insert_user_function(state.cr.cfunc, state.cr.fndesc, [state.library])
        return True


class KernelCompiler(CompilerBase):
    """For kernels: numba's compiler with fewer passes."""

    lowering: Any = typed_passes.NativeLowering

    def define_pipelines(self) -> list[Any]:
        """numba's name for the passes in their order."""
        passes = PassManager("kernel")
        for each in (*_PASSES, self.lowering, typed_passes.NoPythonBackend):
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class InnerCompiler(KernelCompiler):
    """For functions that only kernels call."""

    lowering = _InnerLowering
