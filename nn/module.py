"""Module: parameters, buffers and other modules kept as plain attributes, found by walking them.

Nothing registers itself: `vars(module)` is the truth, so a model is an ordinary Python object.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy import ndarray

from autograd_core.dtypes import Array
from autograd_core.errors import EXPLAINED, describe, explain
from autograd_core.parameter import Buffer, Parameter
from autograd_core.primitive import note_failure
from autograd_core.tape import Value, capturing, operand, state, structure
from autograd_core.tensor import Tensor

_PATH = "_path"  # where a module keeps its own path
_HELD = "_held"  # and which parameters its lists and dicts held when it was walked last
_NOTED = "__autograd_core_noted__"  # set on an exception that has been told where it happened


class Module:
    """The base of layers and models. Keep parameters, buffers and modules as attributes and define `forward`.

    Attributes are found by walking them, through lists, tuples and dicts too; a shared one counts once, under its
    first name. `super().__init__()` may be called but need not be. Calling a module runs `forward`; ndarrays among
    the arguments arrive there as tensors, and errors inside name the module's path (`ConvNet.stem.layers.0`).

    A parameter or buffer can be assigned (`m.weight.assign(...)`), deleted, or replaced by None or another one. A
    tensor, array or number in its place raises TypeError: at once, or when the model is walked the next time, where it
    was put into a list or dict.

    >>> import autograd_core as ag, nn
    >>> class Line(nn.Module):
    ...     def __init__(self):
    ...         self.slope = nn.Parameter(2.0)
    ...
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> line = Line()
    >>> line(ag.tensor([1.0, 3.0])).tolist()
    [2.0, 6.0]
    >>> [name for name, _ in line.named_parameters()]
    ['slope']
    """

    training: bool = True
    # What the compiler guards: all attributes but these, and what the code of these methods names.
    unguarded: ClassVar[frozenset[str]] = frozenset(("_path", "_held"))
    guarded_code: ClassVar[tuple[str, ...]] = ("forward",)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if before is not None and isinstance(before, _KEPT):
            _check_kept(type(self).__name__, name, before, value)
        structure[0] += 1
        object.__setattr__(self, name, value)
        if isinstance(value, _CONTAINERS):
            _look_for_lost(self)

    def __delattr__(self, name: str) -> None:
        structure[0] += 1
        object.__delattr__(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for arg in args:
            if type(arg) is ndarray:
                args = tuple(Tensor(operand(a)) if type(a) is ndarray else a for a in args)
                break
        outer: Any = state.module_path
        if (capture := capturing()) is not None:
            capture.met(self)
        if outer:
            try:
                reference, path = outer.places[id(self)]
                if reference() is not self:
                    path = _find_path(self, outer)
            except (KeyError, AttributeError):
                path = _find_path(self, outer)
        else:
            path = self.__dict__.get(_PATH) or _root_path(self, "")
        state.module_path = path
        try:
            return self.forward(*args, **kwargs)
        except Exception as error:
            _note_place(error, self, args)
            raise
        finally:
            state.module_path = outer

    # What it holds --------------------------------------------------------------------------------------------------

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """This module (named "") and all modules under it, with their names, in order of definition."""
        return ((name, found) for name, found in walk(self) if isinstance(found, Module))

    def modules(self) -> list["Module"]:
        """This module and all modules under it."""
        return [module for _, module in self.named_modules()]

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their names, such as `stem.layers.0.weight`; each also learns its own name.

        A parameter keeps the longest such name it was given, so pictures and errors show it as the model has it.
        """
        for name, found in walk(self):
            if isinstance(found, Parameter):
                known = getattr(found, "name", "")
                if not known or name.endswith(f".{known}"):
                    found.name = name
                yield name, found

    def parameters(self) -> list[Parameter]:
        """All parameters, a shared one once, in order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """All buffers with their names, in order of definition."""
        return ((name, found) for name, found in walk(self) if isinstance(found, Buffer))

    def buffers(self) -> list[Buffer]:
        """All buffers, a shared one once."""
        return [buffer for _, buffer in self.named_buffers()]

    def zero_grad(self) -> None:
        """Forget every parameter's gradient."""
        for parameter in self.parameters():
            parameter.grad = None

    # Modes ----------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode (evaluation mode for False) here and in all modules underneath; returns the module."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: batch normalisation uses its running statistics, dropout does nothing."""
        return self.train(False)

    # State ----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by name. A shared one stands under its first name only.

        >>> import nn
        >>> {name: array.shape for name, array in nn.Dense(3, 2).state_dict().items()}
        {'weight': (3, 2), 'bias': (2,)}
        """
        return {name: tensor.array.copy() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Assign arrays by name, as `state_dict` gave them.

        Names, shapes and dtypes must all fit: otherwise ValueError lists what is missing, unexpected or wrong, and
        the module is as it was.
        """
        own = self._state()
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: takes a dict of arrays by name, not {type(state).__name__}")
        given = {
            name: np.asarray(value.array if isinstance(value, Value) else value)
            for name, value in state.items()
        }
        problems = [f"missing: {name} {describe(own[name].array)}" for name in own if name not in given]
        problems += [f"unexpected: {name} {describe(a)}" for name, a in given.items() if name not in own]
        for name, tensor in own.items():
            array = given.get(name)
            if array is not None and (array.shape, array.dtype) != (tensor.shape, tensor.dtype):
                problems.append(
                    f"{name} is {describe(tensor.array)} here but {describe(array)} in the given state"
                )
        if problems:
            raise ValueError(
                f"load_state_dict: the state does not fit this {type(self).__name__}, nothing was changed:\n  "
                + "\n  ".join(problems)
            )
        for name, tensor in own.items():
            tensor.assign(given[name])

    def _state(self) -> dict[str, Parameter | Buffer]:
        """Parameters and buffers by name; ValueError when two share a name."""
        found: dict[str, Parameter | Buffer] = {}
        for name, value in walk(self):
            if isinstance(value, Parameter | Buffer):
                if name in found:
                    raise ValueError(
                        f"state_dict: two different tensors are both named {name!r}: rename a dict key"
                    )
                found[name] = value
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in (_PATH, _HELD)}

    # Seeing it ------------------------------------------------------------------------------------------------------

    def summary(self, example: Any) -> Any:
        """Print a table of all layers on an example input, and return it: see `nn.summary`, which only returns it."""
        from nn.summary import summary

        found = summary(self, example)
        print(found)
        found.printed = True  # a notebook that shows the result of a cell need not show the table twice
        return found

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """How many multiplications with addition one call makes itself, without modules inside, for `summary`.

        Only a module whose work `summary` cannot count from its operations defines it: an operation of one's own.
        """
        return 0

    def details(self) -> str:
        """What stands between the parentheses of the representation, before the children."""
        return ""

    def __repr__(self) -> str:
        lines: list[str] = []
        seen: set[int] = set()
        pending: list[tuple[int, str, Module | None]] = [(0, "", self)]
        while pending:
            depth, label, module = pending.pop()
            indent = "  " * depth
            if module is None:
                lines.append(f"{indent})")
                continue
            shown = children(module) if id(module) not in seen else []
            opening = f"{indent}{label}{type(module).__name__}({module.details()}"
            lines.append(opening if shown else f"{opening})")
            seen.add(id(module))
            if shown:
                pending.append((depth, "", None))
                pending.extend((depth + 1, f"{name}: ", child) for name, child in reversed(shown))
        return "\n".join(lines)


_CONTAINERS = (list, tuple, dict)
_FOUND = (Module, Parameter, Buffer)
_WALKED = (*_FOUND, *_CONTAINERS)
_KEPT = (Parameter, Buffer, *_CONTAINERS)
_NUMBERS = (Value, ndarray, np.generic, int, float)


def _members(value: Any) -> list[tuple[str, Any]]:
    """The walked things directly inside a module or container, with their names."""
    if isinstance(value, Module):
        items: Any = vars(value).items()
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return []
    return [(str(key), v) for key, v in items if isinstance(v, _WALKED)]


def walk(root: Any, into_modules: bool = True) -> Iterator[tuple[str, Module | Parameter | Buffer]]:
    """Everything a module holds with its dotted name, depth first, the root itself first under "".

    Each object comes once, so references back to a parent do no harm. Without `into_modules`, what other modules
    hold is left out.
    """
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("", root)]
    while pending:
        name, value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _FOUND):
            if isinstance(value, Module):
                _look_for_lost(value)
            yield name, value
        if into_modules or value is root or not isinstance(value, Module):
            prefix = f"{name}." if name else ""
            pending.extend((prefix + key, member) for key, member in reversed(_members(value)))


class _Held:
    """The parameters and buffers in a module's lists, tuples and dicts, by place: (name, sizes on the way) → kind."""

    def __init__(self, found: dict[Any, str]) -> None:
        self.found = found


def _look_for_lost(module: Module) -> None:
    """TypeError when a plain tensor lies where a list or dict of the module held a parameter at the last walk."""
    attributes = module.__dict__
    known = attributes.get(_HELD)
    places = known.found if known is not None else {}
    found: dict[Any, str] = {}
    pending: list[Any] = [
        ((key, ()), value) for key, value in attributes.items() if isinstance(value, _CONTAINERS)
    ]
    seen: set[int] = set()
    while pending:
        (name, sizes), container = pending.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in items:
            kept = isinstance(value, _KEPT)
            if not kept and not (places and isinstance(value, _NUMBERS)):
                continue  # before a place is made for it: a list may hold a million numbers
            place = f"{name}.{key}", (*sizes, len(container))
            if isinstance(value, _CONTAINERS):
                pending.append((place, value))
            elif kept:
                found[place] = type(value).__name__
            elif place in places:
                raise _lost(type(module).__name__, place[0], places[place], value)
    if found or known is not None:
        attributes[_HELD] = _Held(found)


def _check_kept(kind: str, name: str, before: Any, now: Any) -> None:
    """TypeError when a plain tensor is to take the place of a parameter or buffer, in containers too."""
    if before is now:
        return
    if isinstance(before, Parameter | Buffer):
        if isinstance(now, _NUMBERS) and not isinstance(now, Parameter | Buffer):
            raise _lost(kind, name, type(before).__name__, now)
    elif isinstance(before, dict) and isinstance(now, dict):
        for key, value in before.items():
            if isinstance(value, _KEPT) and key in now:
                _check_kept(kind, f"{name}[{key!r}]", value, now[key])
    elif isinstance(before, list | tuple) and isinstance(now, list | tuple) and len(before) == len(now):
        for i, value in enumerate(before):
            if isinstance(value, _KEPT):
                _check_kept(kind, f"{name}[{i}]", value, now[i])


def _lost(kind: str, name: str, what: str, now: Any) -> TypeError:
    value = now.array if isinstance(now, Value) else now
    given = f"{type(now).__name__} {describe(value)}" if not isinstance(now, int | float) else repr(now)
    top, _, rest = name.partition(".")
    place = "".join(f"[{part}]" if part.isdigit() else f"[{part!r}]" for part in rest.split(".") if part)
    here = f"{top}{place}"
    return TypeError(
        f"{kind}.{here} is a {what} and would become a {given}, which is not trained or saved: change its numbers with "
        f"`with ag.no_grad(): m.{here}.assign(...)`, set another nn.{what}(...), or `del m.{here}` first"
    )


def children(module: Module) -> list[tuple[str, Module]]:
    """The modules directly under a module, with their names."""
    found = walk(module, into_modules=False)
    return [(name, child) for name, child in found if isinstance(child, Module) and child is not module]


# Where we are ------------------------------------------------------------------------------------------------------


class ModulePath(str):
    """The path of a running module, `ConvNet.stem.layers.0`, which knows the paths of the modules inside.

    `kinds` has the class of the module at each segment, for pictures. `places` maps the id of each child to a weak
    reference to it (ids are used again) and its path: so a call finds its path in half a microsecond.
    """

    kinds: tuple[str, ...]
    places: "dict[int, tuple[weakref.ref[Module], ModulePath]]"
    module: "weakref.ref[Module]"
    root: "ModulePath"  # of the module that no other called


def _extend(outer: str, name: str, module: Module) -> ModulePath:
    """The path of a module that the module at `outer` holds under this name."""
    path = ModulePath(f"{outer}.{name}" if outer else name)
    path.kinds = (*getattr(outer, "kinds", ()), *[""] * name.count("."), type(module).__name__)
    path.places = {}
    path.module = weakref.ref(module)
    path.root = outer.root if isinstance(outer, ModulePath) else path
    return path


def _find_path(module: Module, outer: str) -> ModulePath:
    """The path of a module called inside the one at `outer`; one that is held nowhere goes by its class."""
    parent = outer.module() if isinstance(outer, ModulePath) else None
    if isinstance(outer, ModulePath) and parent is module:
        return outer
    if not isinstance(outer, ModulePath) or parent is None:
        return _root_path(module, outer)
    known = {id(child): (weakref.ref(child), _extend(outer, name, child)) for name, child in children(parent)}
    if id(module) not in known:
        held = next((name for name, found in walk(parent) if found is module), None)
        if held is None:
            return _extend(outer, type(module).__name__, module)
        known[id(module)] = (weakref.ref(module), _extend(outer, held, module))
    outer.places.update(known)
    return known[id(module)][1]


def _root_path(module: Module, outer: str) -> ModulePath:
    """The path of a module that no module called; kept by the module itself, whose parameters learn their names."""
    path = _extend(outer, type(module).__name__, module)
    if not outer:
        vars(module)[_PATH] = path
        module.parameters()
    return path


def _note_place(error: Exception, module: Module, args: tuple[Any, ...]) -> None:
    """Tell an exception once, in the innermost module, where it happened; the engine's own errors know."""
    if hasattr(error, EXPLAINED) or hasattr(error, _NOTED):
        return
    error.add_note(f"in {state.module_path}")
    setattr(error, _NOTED, True)
    told = Exception(f"{type(error).__name__}: {error}")
    note_failure(f"{type(module).__name__}.forward", [f"argument {i}" for i in range(len(args))], args, told)


# What layers share -------------------------------------------------------------------------------------------------


def misuse(operation: str, problem: str, kind: type[Exception] = ValueError, /, **values: Any) -> Exception:
    """An error that names the operation, the values' dtypes and shapes, and the running module's path."""
    shown = [v.array if isinstance(v, Value) else v for v in values.values()]
    error = explain(kind(problem), operation, list(values), shown, state.module_path)
    note_failure(operation, list(values), list(values.values()), error)
    return error


def sizes(layer: str, **values: Any) -> None:
    """ValueError for a size of a layer that is not a positive integer."""
    for name, value in values.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{layer}: {name} is {value!r}: give a positive integer")


Layer = Callable[..., Any]  # a module, or any function of a tensor
