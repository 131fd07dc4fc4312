"""The one `jit` wrapper: how kernels are compiled, and the disk cache that keeps them.

Kernels compile on their first call. The compiled code is kept in a folder of the user's own,
`$AUTOGRAD_CORE_CACHE`, else `$NUMBA_CACHE_DIR/autograd-core`, else the platform's user cache folder, under a
sub-folder named by everything that the machine code depends on: all kernel sources, numba, Python, CPU, flags.
`store.py` opens the folder and says whose entries are read.

A parallel function (`parallel=True`) is never linked into another compiled function: it is called by its address
(`launch.sharing`). Its code calls numba's threading layer, which numba starts only when the parallel function itself
is compiled or loaded. Linked into another function, and loaded in a process without the layer, it jumped to address 0.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
from numba.core import config, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.serialize import dumps

from autograd_core.kernels import ahead
from autograd_core.kernels.store import Store

try:
    from autograd_core.kernels.pipeline import InnerCompiler, KernelCompiler
except (ImportError, AttributeError):  # another numba
    from numba.core.compiler import Compiler

    InnerCompiler = KernelCompiler = Compiler

# Never fastmath=True: it lets LLVM assume that there is no NaN and no infinity.
FAST = {"reassoc", "contract", "arcp"}

# prange alone runs in parallel: no array expression is turned into a loop of its own, which also compiles faster.
PRANGE = dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
) | {"prange": True}

_KERNELS = Path(__file__).resolve().parent
FORMAT = 2  # of the entries: a process reads none of another format


def cache_root() -> Path:
    """The folder that holds the compiled kernels of all versions (it need not exist)."""
    if own := os.environ.get("AUTOGRAD_CORE_CACHE"):
        return Path(own)
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR) / "autograd-core"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "autograd-core"


@lru_cache(maxsize=1)
def cache_key() -> str:
    """Hash of all that compiled code depends on; a change to any kernel source gives a new one."""
    digest = hashlib.sha256()
    for path in sorted(_KERNELS.glob("**/*.py")):
        digest.update(str(path.relative_to(_KERNELS)).encode() + b"\0" + path.read_bytes() + b"\0")
    features = llvmlite.binding.get_host_cpu_features().flatten()
    facts = (
        numba.__version__, llvmlite.__version__, sys.version, platform.machine(),
        llvmlite.binding.get_host_cpu_name(), features, config.CPU_NAME, config.CPU_FEATURES,
        # numba's own key leaves this one out: a checked and an unchecked kernel would share an entry.
        config.BOUNDSCHECK, config.OPT, os.environ.get("AUTOGRAD_CORE_VECTOR_BITS"),
        # Further settings of numba that change the code, and what it is linked against.
        config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.ENABLE_AVX, config.USING_SVML, config.DEBUGINFO_DEFAULT,
        FORMAT,
    )  # fmt: skip
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:24]


@lru_cache(maxsize=1)
def store() -> Store:
    """Where compiled code is kept on disk."""
    try:
        root = Path(os.path.abspath(cache_root()))  # a link is not resolved here: `Store` refuses it
    except RuntimeError as error:  # Path.home() without a home
        none = Store(None, "")
        none.give_up(error)
        return none
    return Store(root, cache_key())


def read_entry(name: str) -> bytes | None:
    """An entry's content; None when there is none, or none that is sound."""
    return store().read(name)


def write_entry(name: str, content: bytes) -> None:
    """Keep an entry for later processes; where that cannot be done, a warning says so once."""
    store().write(name, content)


class _Waiting:
    """Says once in a process, on stderr, that kernels are being compiled, when that takes more than a second."""

    def __init__(self) -> None:
        self.underway = 0
        self.timer: threading.Timer | None = None

    def begin(self) -> None:
        """A function is going to be compiled: always under numba's lock."""
        self.underway += 1
        if self.timer is None:
            self.timer = threading.Timer(1.0, self.tell)
            self.timer.daemon = True
            self.timer.start()

    def end(self) -> None:
        """It is done."""
        self.underway -= 1
        if self.underway == 0 and self.timer is not None and self.timer.is_alive():
            self.timer.cancel()
            self.timer = None

    def tell(self) -> None:
        kept = (
            f"kept in {store().path}, so this happens once"
            if store().writable()
            else "not kept: there is no folder to write to"
        )
        print(f"autograd-core: compiling kernels for this processor ({kept}) …", file=sys.stderr, flush=True)


_waiting = _Waiting()


class _Locator(_CacheLocator):
    """Gives numba's cache machinery a name for the function; where its file lies is cache_folder's business."""

    def __init__(self, py_func: Callable, py_file: str):
        self._py_file, self._lineno = py_file, py_func.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func: Callable, py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def ensure_cache_path(self) -> None:
        pass

    def get_cache_path(self) -> str:
        return str(store().path)

    def get_source_stamp(self) -> str:
        """Kernel files are in cache_key already; a function from elsewhere is stamped with its own file."""
        path = Path(self._py_file)
        if path.resolve().parent == _KERNELS:
            return ""
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"

    def get_disambiguator(self) -> str:
        return str(self._lineno)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class KernelCache(FunctionCache):
    """numba's function cache, with one self-checking file per compiled signature.

    numba numbers its data files through an index file that two processes can overwrite for each other, after
    which an entry holds another signature's code. Here the name is the hash of the key and the content starts
    with its own checksum, so that there is no index and a torn or truncated file is seen before it is used.
    """

    _impl_class = _Implementation
    _claim: ahead.Claim | None = None

    def _entry(self, sig: Any, codegen: Any) -> str:
        """The name of the entry: it holds the hash of the function, its sources and the signature."""
        stamp = self._impl.locator.get_source_stamp()
        key = hashlib.sha256(repr((stamp, self._index_key(sig, codegen))).encode()).hexdigest()
        return f"{self._impl.filename_base}.{key[:24]}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for `sig`, or None: then numba compiles it."""
        found = self._load(sig, target_context)
        if found is None:
            _waiting.begin()
            self._claim = ahead.Claim(store(), self._entry(sig, target_context.codegen()))
            if self._claim.waited:
                found = self._load(sig, target_context)
            if found is None:
                self.missing()
            else:
                self._done()
        return found

    def missing(self) -> None:
        """The function is not on disk, and is going to be compiled."""

    def _done(self) -> None:
        _waiting.end()
        if self._claim is not None:
            self._claim.release()

    def _load(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        name = self._entry(sig, target_context.codegen())
        content = read_entry(name)
        if content is None:
            return None
        try:
            return self._impl.rebuild(target_context, pickle.loads(content))
        except Exception:  # whatever is wrong with an entry, compiling again mends it
            store().remove(name)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled function for the next process."""
        if self._impl.check_cachable(data):
            write_entry(self._entry(sig, data.codegen), dumps(self._impl.reduce(data)))
        self._done()


class EntryCache(KernelCache):
    """The same for a function made at run time, known by a name of its own (its closure has no stable content)."""

    def __init__(self, py_func: Callable, name: str, dtype: str) -> None:
        super().__init__(py_func)
        self._name, self._dtype = f"{name}-{dtype}", dtype

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (self._name, sig, codegen.magic_tuple())

    def missing(self) -> None:
        ahead.begin(self._py_func.__module__, self._dtype, store())


def jit(
    function: Callable | None = None, *, parallel: bool = False, inner: bool = False, fast: bool = True
) -> Any:
    """Compile `function` with numba on its first call, kept on disk.

    parallel: `prange` loops run on numba's threads; call such a function from Python, or by its address, inside
              `threads.region()`, and from no other compiled function.
    inner:    called by other kernels only, never from Python: saves compiling its Python wrapper.
    fast:     reassociation and contraction are allowed (never the assumption that there is no NaN or infinity).

    Two threads may make the first call at once: numba compiles under its global lock and looks for the finished
    signature again inside it, and the cache is read and written inside that lock too.
    """
    if function is None:
        return lambda f: jit(f, parallel=parallel, inner=inner, fast=fast)
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "parallel": PRANGE if parallel else False,
    }
    if inner:
        options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": InnerCompiler}
    if fast:
        options["fastmath"] = FAST
    dispatcher = numba.njit(**options)(function)
    if not config.DISABLE_JIT:
        if inner:
            _ignore_literals(dispatcher)
        else:
            dispatcher._cache = KernelCache(function)
    return dispatcher


def _ignore_literals(dispatcher: Any) -> None:
    """numba would compile a function that is called with 0 here and with a number there for each of them."""
    typed = dispatcher.get_call_template

    def template(args: Any, kws: Any) -> Any:
        return typed(
            tuple(map(types.unliteral, args)), {name: types.unliteral(kind) for name, kind in kws.items()}
        )

    dispatcher.get_call_template = template
