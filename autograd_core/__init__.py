"""autograd-core: tape-based reverse-mode differentiation on numpy and numba.

>>> import autograd_core as ag
>>> x = ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> loss = (x**2).sum()
>>> loss.backward()
>>> x.grad
tensor([2., 4., 6.], dtype=float32)
"""

import os
import sys
from typing import Any

from autograd_core import linalg, memory, random
from autograd_core.check import check_grads
from autograd_core.checkpoint import checkpoint
from autograd_core.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from autograd_core.dtypes import default_dtype, set_default_dtype
from autograd_core.functions import (
    abs,
    acos,
    add,
    all,
    any,
    argmax,
    argmin,
    argsort,
    asin,
    astype,
    atan,
    atan2,
    avg_pool,
    broadcast_to,
    ceil,
    clip,
    concat,
    conv,
    conv_transpose,
    cos,
    cosh,
    cross_entropy,
    cumulative_sum,
    divide,
    einsum,
    equal,
    erf,
    exp,
    expand_dims,
    expm1,
    flip,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    linear,
    log,
    log1p,
    log_softmax,
    logaddexp,
    logsumexp,
    matmul,
    matrix_transpose,
    max,
    max_pool,
    maximum,
    mean,
    min,
    minimum,
    moments,
    moveaxis,
    multiply,
    negative,
    nonzero,
    norm,
    normalise,
    not_equal,
    outer,
    pad,
    permute_dims,
    pick,
    power,
    prod,
    relu,
    remainder,
    repeat,
    reshape,
    roll,
    round,
    rsqrt,
    scale_shift,
    sigmoid,
    sign,
    sin,
    sinh,
    softmax,
    softplus,
    sort,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    subtract,
    sum,
    take,
    take_along_axis,
    tan,
    tanh,
    tensordot,
    tile,
    tril,
    triu,
    unique_values,
    var,
    vecdot,
    where,
)
from autograd_core.observer import observe
from autograd_core.parameter import Buffer, Parameter
from autograd_core.primitive import Primitive
from autograd_core.public import UserPrimitive
from autograd_core.tape import recording
from autograd_core.tensor import Tensor
from autograd_core.threads import get_num_threads, set_num_threads
from autograd_core.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    raise ImportError(
        "autograd_core computes with functions that numba compiles, and NUMBA_DISABLE_JIT="
        f"{os.environ['NUMBA_DISABLE_JIT']} forbids it to: start Python without it (unset NUMBA_DISABLE_JIT)"
    )

memory.reuse()  # before the first arrays are freed


def no_grad(function: Any = None) -> Any:
    """Compute without recording: `with ag.no_grad():`, or `@ag.no_grad()` above a function.

    It acts in the thread and the asyncio task that entered it. Above a generator, an async generator or an async
    function the decorator acts while that runs, and not while it is suspended. A `with` in the body of a generator also
    acts on the caller as long as the generator is suspended inside it (Python has no other way, PEP 568): use the
    decorator there.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0], requires_grad=True)
    >>> with ag.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return recording(False) if function is None else recording(False)(function)


def enable_grad(function: Any = None) -> Any:
    """Record again inside `no_grad`, as a context or a decorator."""
    return recording(True) if function is None else recording(True)(function)


def primitive(function: Any = None, *, name: str | None = None) -> Any:
    """An operation of your own, from a function on ndarrays (a numba function too).

    Parameters without a default are its array inputs, the others static. The function returns one array, and must not
    write to its inputs (a Python function gets read-only ones). Give one derivative rule for each input
    with `defvjp`: it gets the output's cotangent, then by name what it needs of the inputs, `out` and the static
    parameters. Written with operations (not with numpy), it can be differentiated to every order.

    >>> import autograd_core as ag
    >>> @ag.primitive
    ... def cube(x):
    ...     return x**3
    >>> cube.defvjp(lambda g, x: g * 3 * x**2)
    <primitive cube(x)>
    >>> ag.grad(ag.grad(cube))(2.0).item()
    12.0
    """
    if function is None:
        return lambda f: UserPrimitive(f, name)
    return UserPrimitive(function, name)


def compile(
    f: Any = None, *, verify_every: int = 0, keep_inputs: bool = False, max_programs: int = 64
) -> Any:
    """The function, compiled: its first call runs it as it stands, later ones replay what it did as one program.

    A training step may be compiled whole: forward pass, `backward()`, the optimizer's step, random draws. Every call
    leaves everything (results, parameters, gradients, buffers, the random stream) as the function itself would have.
    Other shapes, dtypes, modes or Python numbers make another program; see `autograd_core.compiler`. Also a decorator.

    Inside, Python cannot look at numbers that are computed: `float(t)`, `if t > 0` raise TracedValueError, with the
    line and the mend. `verify_every=k`: every k-th call also runs the function itself, and raises where they differ.
    `keep_inputs`: `ag.autopsy(f)` can run the last call again, uncompiled; parameters' last arrays stay in memory.
    `max_programs`: how many programs are kept. When there are more, the one whose last use is longest ago goes, with
    its memory, and is captured again when it is needed.

    >>> import autograd_core as ag
    >>> @ag.compile
    ... def f(x):
    ...     return (x * x).sum()
    >>> [f(ag.tensor([1.0, n])).item() for n in (1.0, 2.0, 3.0)]
    [2.0, 5.0, 10.0]
    """
    if f is None:
        return lambda function: compile(
            function, verify_every=verify_every, keep_inputs=keep_inputs, max_programs=max_programs
        )
    from autograd_core.compiler import Compiled

    return Compiled(f, verify_every, keep_inputs, max_programs)


def autopsy(t: Any) -> Any:
    """Where the first bad number under a tensor comes from: operation, module, line, statistics of inputs, cause.

    Looks at the tape in memory, forward and backward, and runs nothing of the program again; after a `backward()` that
    has freed the tape, or to have source lines and every value, compute inside `ag.observe()`. Of a function compiled
    with `keep_inputs=True` the last call is run again, uncompiled. What makes the tensor or a leaf's gradient not
    finite comes first, then other values that are not, but for constants that were given, then all whose square
    overflows. The answer prints itself, is true when something was found, and has `.operation`, `.phase`,
    `.module_path`, `.line`, `.cause`, `.mend`, `.inputs`, `.output` and `.draw()`.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0, 4.0], requires_grad=True)
    >>> with ag.observe():
    ...     loss = ag.where(x > 1, ag.sqrt(x - 1), 0).sum()
    >>> found = ag.autopsy(loss)
    >>> found.phase, found.operation
    ('backward', 'sqrt')
    >>> print(found.cause)
    √ at 0: its derivative 1/(2√x) is ∞ there (1 of 2 elements), times a cotangent of 0: 0·∞ is NaN, ...
    """
    from autograd_core.diagnosis import autopsy as examined

    return examined(t)


def draw(t: Any, **options: Any) -> Any:
    """The picture of how a tensor, or several in a list, were computed: a `Graph` with `.dot`, `.svg()`, `.save(path)`.

    Inputs and results have the names of the caller's variables. Of a compiled function: what was captured, with the
    instructions that it became.

    `options` are those of `autograd_core.graph.draw`: view ("forward", "backward", "paired"), overlay ("time", "bytes",
    "gradient", ...), between=(x, loss), around=(t, hops), values, collapse, depth, max_nodes, direction, timeout.

    >>> import autograd_core as ag
    >>> x = ag.tensor(1.0, requires_grad=True)
    >>> "exp" in ag.draw(x.exp()).dot
    True
    """
    if hasattr(t, "variants"):
        from autograd_core.standins import draw_compiled

        return draw_compiled(t, **options)
    from autograd_core.graph import draw as draw_graph
    from autograd_core.graph.names import Names

    if "names" not in options:
        frame = sys._getframe(1)
        options["names"] = Names({**frame.f_globals, **frame.f_locals})
    return draw_graph(t, **options)


def profile() -> Any:
    """Where the time goes: `with ag.profile() as p:`, then `print(p)`, or `p.save("profile.svg")`.

    Time, calls and bytes of every operation and of its derivative, by module and by line of the program; the time
    that looking on takes is left out. What no operation explains is shown as Python between operations. Compiled
    functions (`compile`) run their programs row by row inside, with the same results. `p.operations`, `p.modules` and
    `p.lines` are lists; `p.save` writes .svg (a picture), .json (a trace for ui.perfetto.dev) or .txt.

    It sees its own thread. It may be entered again, or be a decorator (`p = ag.profile()`, then `@p`): that adds up.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> with ag.profile() as p:
    ...     ag.square(x).sum().backward()
    >>> sorted((row.name, row.forward.calls, row.backward.calls) for row in p.operations)
    [('square', 1, 1), ('sum', 1, 1)]
    """
    from autograd_core.profiler import Profile

    return Profile()


def draw_last_error(**options: Any) -> Any:
    """The picture of a computation up to the operation that raised last in this thread; options as of `draw`.

    >>> import autograd_core as ag
    >>> x = ag.ones((2, 2)) * ag.tensor(1.0, requires_grad=True)
    >>> x @ ag.ones((3, 3))
    Traceback (most recent call last):
    ...
    ValueError: matmul: ...
    >>> "raised" in ag.draw_last_error().dot
    True
    """
    from autograd_core.standins import draw_failed

    return draw_failed(**options)


def _backward_steps(self: Tensor, cotangent: Any = None, retain_graph: bool = False) -> Any:
    """The reverse sweep node by node: an iterator of `BackwardStep`s that print what arrives and what is sent on.

    After the last step `.grad` of all leaves is what `backward()` gives, bit for bit, and the graph is freed unless
    `retain_graph`; who stops earlier has changed neither. `.save("backward.html")` writes a page to step through.
    Source lines are known of what was computed inside `ag.observe()`. Raises as `backward()` does.

    >>> import autograd_core as ag
    >>> x = ag.tensor(2.0, requires_grad=True)
    >>> print(*(x * x * x).backward_steps(), sep="\\n")
    step 1 of 2: multiply   g = 1 → x gets g · y = 2, y gets g · x = 4
    step 2 of 2: multiply
        g = 2
        → x gets g · y = 4 (8 together with what came before)
        → y gets g · x = 4 (12 together with what came before)
    """
    from autograd_core.graph.names import Names
    from autograd_core.teaching import BackwardSteps

    frame = sys._getframe(1)
    return BackwardSteps(self, cotangent, retain_graph, Names({**frame.f_globals, **frame.f_locals}))


Tensor.backward_steps = _backward_steps  # here, because the tape and its tensors know nothing of teaching
