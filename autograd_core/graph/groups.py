"""The tree of a picture: modules inside modules, operations at the tips, and repetitions of siblings.

A group is a stretch of consecutive operations. A module that is called twice, with something else in between, is
two groups: that keeps every group in one piece, in the order in which things happened.
"""

from collections.abc import Sequence
from typing import Any

from autograd_core.graph.program import Program

MAX_DEPTH = 24  # deeper nesting cannot be read, and Graphviz slows down on it


class Group:
    """A module's call, or (`count` > 1) `count` repetitions of the same items, of which the first is kept."""

    __slots__ = ("count", "items", "kind", "last", "name", "parent", "signature", "start", "stop")

    def __init__(self, name: str, kind: str, start: int, parent: "Group | None") -> None:
        self.name = name  # as shown: "stem", "blocks.0"; "" for repetitions and the root
        self.kind = kind  # the module's class, when the path tells it
        self.start = start  # operations start:stop of the program
        self.stop = start
        self.items: list[Item] = []
        self.count = 1
        self.last: Sequence[Item] = ()  # the items of the last repetition, for the title
        self.parent = parent
        self.signature = -1

    @property
    def unit(self) -> int:
        """How many operations one repetition has."""
        return (self.stop - self.start) // self.count


Item = int | Group  # an operation's position, or a group


def start_of(item: Item) -> int:
    """The position of an item's first operation."""
    return item if isinstance(item, int) else item.start


def build(program: Program) -> list[Group]:
    """The groups of a program, the root first and every parent before its children.

    A module path is text, "ConvNet.stem.conv". If it has an attribute `kinds` (a tuple of class names as long as
    the path, "" for what is no module), titles show them.
    """
    root = Group("", "", 0, None)
    groups = [root]
    stack: list[tuple[str, Group]] = []  # the open segments and their groups
    split: dict[str, tuple[list[str], Sequence[Any]]] = {}
    previous: str | None = None
    for i, node in enumerate(program.operations):
        path = node.module_path
        other = getattr(path, "root", None) is not getattr(
            previous, "root", None
        )  # another model of that name
        if path != previous or other:
            previous = path
            if path not in split:
                split[path] = segments(path)
            titles, kinds = split[path]
            common = 0
            while not other and common < min(len(stack), len(titles)) and stack[common][0] == titles[common]:
                common += 1
            for _, closed in stack[common:]:
                closed.stop = i
            del stack[common:]
            for depth in range(common, len(titles)):
                parent = stack[-1][1] if stack else root
                group = Group(titles[depth], kinds[depth], i, parent)
                parent.items.append(group)
                groups.append(group)
                stack.append((titles[depth], group))
        (stack[-1][1] if stack else root).items.append(i)
    for group in (root, *(group for _, group in stack)):
        group.stop = len(program.operations)
    return groups


def segments(path: str) -> tuple[list[str], Sequence[str]]:
    """The titles of the frames around an operation, outermost first, and the classes of their modules if known.

    What stands in a list is "blocks.0"; where the path tells that `blocks` itself is no module, it has no frame.
    """
    parts = str(path).split(".")[: 2 * MAX_DEPTH] if path else []
    known = getattr(path, "kinds", ())
    if not isinstance(known, tuple) or len(known) < len(parts):
        known = None
    titles: list[str] = []
    kinds: list[str] = []
    for depth, part in enumerate(parts):
        listed = part.isdigit() and depth > 0
        title = f"{parts[depth - 1]}.{part}" if listed else part
        if listed and known is not None and not known[depth - 1]:
            titles.pop()
            kinds.pop()
        titles.append(title)
        kinds.append(str(known[depth]) if known is not None else "")
    return titles[:MAX_DEPTH], kinds[:MAX_DEPTH]
