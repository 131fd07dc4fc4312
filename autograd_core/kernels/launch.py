"""How a kernel is written, compiled and run: a function of a task's number, run for every task on all threads.

    @kernel
    def scale(task: int, x: Floats, out: Floats, block: int) -> None:
        for i in range(task * block, min((task + 1) * block, x.size)):
            out[i] = 2 * x[i]

    scale(x, out, 4096, tasks=-(-x.size // 4096))

Tasks are cut by the shapes alone, never by the number of threads, and each writes what no other does: so the bits are
the same on any number of threads. Which thread takes which task is decided while running, since the cores of a
shared machine are not equally fast.

Every kernel compiles to one signature, void(int64 *arguments, int64 task), and is called by its address. So there
is one parallel loop for all of them (numba takes a second to compile one), compiled by itself.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import math
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import prange, types
from numba.core import config
from numba.core.ccallback import CFunc
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from autograd_core.kernels import arithmetic_types, forks, threads
from autograd_core.kernels.jit import FAST, EntryCache, KernelCompiler, jit
from autograd_core.kernels.vector import BITS

# What a kernel's parameters may be. Arrays come flat and contiguous; floats are float32 or float64, as the call's are.
Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_ARRAYS: dict[str, Callable[[np.dtype], np.dtype]] = {
    "Floats": lambda dtype: dtype,
    "Ints": lambda dtype: np.dtype(np.int64),
    "Bytes": lambda dtype: np.dtype(np.uint8),
    "Words": lambda dtype: np.dtype(np.uint64),
}
LINE = 64  # bytes of a cache line
registry: list[Kernel] = []


class Launch(NamedTuple):
    """A kernel's call."""

    entry: int  # its address
    name: str
    kinds: list[str]
    arguments: tuple[Any, ...]
    tasks: int
    serial: bool


class Check(NamedTuple):
    """A test of a result: where it fails, the operation is computed in another way."""

    array: npt.NDArray


class Trace:
    """What an operation launches, in order, so that a compiled program can do the same without Python.

    Nothing is computed meanwhile, and every check passes. Such an operation does all its work in kernels. Its memory
    besides arguments and result comes from `scratch`, its tables are read-only, and whether it takes another way is
    asked with `all_finite` and `any_set`.
    """

    def __init__(self) -> None:
        self.steps: list[Launch | Check] = []
        self.scratch: list[npt.NDArray] = []


class _Thread(threading.local):
    trace: Trace | None = None


_thread = _Thread()


@contextmanager
def traced() -> Iterator[Trace]:
    """Write down what is launched, instead of launching it."""
    _thread.trace = trace = Trace()
    try:
        yield trace
    finally:
        _thread.trace = None


def tracing() -> bool:
    """Whether launches are written down."""
    return _thread.trace is not None


def scratch(shape: Any, dtype: npt.DTypeLike) -> npt.NDArray:
    """Memory that a kernel fills before it is read; it begins at a cache line (a program's memory does so anyway)."""
    if _thread.trace is not None:
        made = np.empty(shape, dtype)
        _thread.trace.scratch.append(made)
        return made
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    memory = np.empty(size * np.dtype(dtype).itemsize + LINE, np.uint8)
    first = -address_of(memory) % LINE
    return memory[first : first + memory.size - LINE].view(dtype).reshape(shape)


def table(array: npt.NDArray) -> npt.NDArray:
    """Numbers that stay as they are: what depends on shapes alone."""
    array.flags.writeable = False
    return array


def all_finite(array: npt.NDArray) -> bool:
    """Whether a result has neither NaN nor ∞."""
    if _thread.trace is not None:
        _thread.trace.steps.append(Check(array))
        return True
    return bool(np.isfinite(array).all())


def any_set(flags: npt.NDArray) -> bool:
    """Whether a kernel has set one of its flags."""
    if _thread.trace is not None:
        _thread.trace.steps.append(Check(flags))
        return False
    return bool(flags.any())


class Constants:
    """A kernel's last arguments where they are the same call after call: made into words of its argument block once."""

    def __init__(self, of: Kernel, *values: Any) -> None:
        self.values = values  # the block holds addresses of these arrays
        self.words = words_of(of.kinds[-len(values) :], values)


class Kernel:
    """A compiled function of (task, *arguments); calling it runs all its tasks."""

    def __init__(self, function: Callable[..., None], fast: bool, wide: bool) -> None:
        self.function = function
        self.name = function.__name__
        self.fast, self.wide = fast, wide
        _, *parameters = inspect.signature(function).parameters.values()
        self.kinds = [str(p.annotation) for p in parameters]
        self.first_float = self.kinds.index("Floats") if "Floats" in self.kinds else None
        self.compiled: dict[np.dtype, CFunc] = {}
        self.__doc__ = function.__doc__
        registry.append(self)

    def __call__(self, *arguments: Any, tasks: int, serial: bool = False) -> None:
        """Run tasks 0 … tasks−1; `serial`: on this thread, for work that takes less than waking the others."""
        dtype = np.dtype(np.float64) if self.first_float is None else arguments[self.first_float].dtype
        entry = self.compiled.get(dtype) or self.compile(dtype)
        if _thread.trace is not None:
            _thread.trace.steps.append(Launch(entry.address, self.name, self.kinds, arguments, tasks, serial))
            return
        last = arguments[-1]
        if type(last) is Constants:
            words = words_of(self.kinds, arguments[:-1]) + last.words
        else:
            words = words_of(self.kinds, arguments)
        if serial or tasks == 1 or (count := min(tasks, threads.number())) == 1:
            _one_thread(entry.address, np.array(words, np.int64), tasks)
        else:
            block = np.array(words, np.int64)
            with threads.region():
                all_threads(entry.address, block.ctypes.data, tasks, count)

    def compile(self, dtype: Any) -> CFunc:
        """The machine code for one float dtype, from the disk cache when it is there."""
        dtype = np.dtype(dtype)
        with forks.compiling:
            if dtype not in self.compiled:
                self.compiled[dtype] = _compile(self, dtype)
        return self.compiled[dtype]


def kernel(function: Callable[..., None] | None = None, *, fast: bool = True, wide: bool = False) -> Any:
    """Make a kernel of `function`: its first parameter is the task, the others are annotated by what they are.

    fast: sums may be taken in another order (never the assumption that there is no NaN or infinity).
    wide: loops become vectors of all the bits that the CPU has; by itself LLVM keeps to 256 where there are 512.
    """
    if function is None:
        return lambda f: Kernel(f, fast, wide)
    return Kernel(function, fast, wide)


def words_of(kinds: list[str], values: tuple[Any, ...]) -> list[int]:
    """Words of the argument block: address and size of an array, a whole number, the bits of a float."""
    words: list[int] = []
    for kind, value in zip(kinds, values):
        if kind == "int":
            words.append(value)
        elif kind == "float":
            words.append(int(np.float64(value).view(np.int64)))
        else:
            words += (address_of(value), value.size)
    return words


def address_of(array: npt.NDArray) -> int:
    """Where the array's numbers lie. NumPy's own ways of asking take six times as long, 1.7 µs."""
    return _WORD.from_address(id(array) + _DATA).value


# The address is the first field of NumPy's array object, a part of its binary interface.
_WORD, _DATA = ctypes.c_ssize_t, object.__basicsize__
_sample = np.empty(1)
if address_of(_sample) != _sample.ctypes.data:

    def address_of(array: npt.NDArray) -> int:
        return array.ctypes.data


def _compile(made: Kernel, dtype: np.dtype) -> CFunc:
    signature = types.void(types.int64, types.int64)
    options: dict[str, Any] = {"nopython": True, "error_model": "numpy"}
    if made.fast:
        options["fastmath"] = FAST
    entry = _entry(made, _unpacker(made.kinds, dtype, made.wide))
    compiled = CFunc(entry, (signature.args, signature.return_type), {}, options, KernelCompiler)
    if not config.DISABLE_JIT:
        compiled._cache = EntryCache(made.function, made.name, str(dtype))
    with arithmetic_types.remembered():
        compiled.compile()
    return compiled


def _entry(made: Kernel, unpack: Any) -> Callable[[int, int], None]:
    """The function (arguments, task) that unpacks the argument block and goes on as the kernel does.

    It is made from the kernel's source: an entry that called the kernel would compile its code twice, and that took a
    third of the time. Without the source, or where the file has changed since, it calls it.
    """
    function, name = made.function, made.name
    namespace = function.__globals__ | {"unpack_arguments": unpack}
    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        source = ast.Module([], [])
    definition = source.body[0] if source.body else None
    if not isinstance(definition, ast.FunctionDef) or definition.name != name:
        body = jit(function, inner=True, fast=made.fast)
        return lambda arguments, task: body(task, *unpack(arguments))
    ast.increment_lineno(definition, function.__code__.co_firstlineno - 1)
    task, *names = (argument.arg for argument in definition.args.args)
    unpacked = ast.parse(f"{', '.join(names)}, = unpack_arguments(argument_block)").body[0]
    for node in ast.walk(unpacked):
        ast.copy_location(node, definition)
    definition.args = ast.arguments([], [ast.arg("argument_block"), ast.arg(task)], None, [], [], None, [])
    definition.returns, definition.decorator_list = None, []
    definition.body = [unpacked, *definition.body[1 if ast.get_docstring(definition) else 0 :]]
    module = ast.fix_missing_locations(ast.Module([definition], []))
    exec(compile(module, function.__code__.co_filename, "exec"), namespace)
    return namespace[name]


def _unpacker(kinds: list[str], dtype: np.dtype, wide: bool) -> Any:
    """An intrinsic that makes the argument block at an address into the kernel's arguments, as a tuple.

    It stands in the kernel's own function, and so tells LLVM how `wide` its vectors may be.
    """
    found = [
        types.Array(numba.from_dtype(_ARRAYS[kind](dtype)), 1, "C") if kind in _ARRAYS
        else types.float64 if kind == "float" else types.int64
        for kind in kinds
    ]  # fmt: skip

    @intrinsic
    def unpack(typing, arguments):
        def emit(context, builder, signature, args):
            if wide:  # an attribute that llvmlite's own `add` does not know
                set.add(builder.function.attributes, f'"prefer-vector-width"="{BITS}"')
            word = ir.IntType(64)
            block = builder.inttoptr(args[0], word.as_pointer())
            words = iter(range(2 * len(found)))

            def following():
                return builder.load(builder.gep(block, [ir.Constant(word, next(words))]))

            values = []
            for of in found:
                if isinstance(of, types.Array):
                    values.append(_array(context, builder, of, following(), following()))
                elif of is types.float64:
                    values.append(builder.bitcast(following(), ir.DoubleType()))
                else:
                    values.append(following())
            return context.make_tuple(builder, signature.return_type, values)

        return types.Tuple(found)(types.int64), emit

    return unpack


def _array(context: Any, builder: Any, of: types.Array, address: Any, size: Any) -> Any:
    array = context.make_array(of)(context, builder)
    item = context.get_abi_sizeof(context.get_data_type(of.dtype))
    data = builder.inttoptr(address, array.data.type)
    word = ir.IntType(64)
    populate_array(
        array, data, shape=[size], strides=[ir.Constant(word, item)], itemsize=ir.Constant(word, item),
        meminfo=None,
    )  # fmt: skip
    return array._getvalue()


@intrinsic
def call(typing, address, arguments, task):
    """Call the kernel at `address`."""

    def emit(context, builder, signature, args):
        word = ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [word, word]).as_pointer()
        builder.call(builder.inttoptr(args[0], function), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def _take(typing, counter):
    """counter[0], and one more left there for the next thread: an atomic addition."""

    def emit(context, builder, signature, args):
        data = context.make_array(counter)(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), emit


@jit
def _one_thread(address, block, tasks):
    for task in range(tasks):
        call(address, block.ctypes.data, task)


@jit(parallel=True)
def all_threads(address, arguments, tasks, count):
    """Run all tasks of a kernel on `count` threads, each taking the next task when it is free."""
    counter = np.zeros(1, np.int64)
    for _ in prange(count):
        task = _take(counter)
        while task < tasks:
            call(address, arguments, task)
            task = _take(counter)


@cache
def sharing() -> int:
    """The address of `all_threads`, for other compiled functions: they call it with `share`, inside `threads.region()`.

    They are not linked with it, because only a parallel function's own entry on disk starts numba's threads (jit.py).
    """
    threads.region()  # starts numba's threads
    with forks.compiling:
        signature = (types.int64,) * 4
        all_threads.compile(signature)
        made = all_threads.overloads[signature]
        return made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name)


@intrinsic
def share(typing, sharing, address, arguments, tasks, count):
    """Run all tasks of the kernel at `address` on `count` threads; `sharing` is what `sharing()` returns."""

    def emit(context, builder, signature, args):
        word = ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [word] * 4).as_pointer()
        builder.call(builder.inttoptr(args[0], function), args[1:])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), emit
