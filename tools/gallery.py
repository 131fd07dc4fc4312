"""Draw the pictures of docs/gallery.md, from the networks of examples/.

python tools/gallery.py            needs Graphviz's `dot`; half a minute
python tools/gallery.py FOLDER     PNGs into a folder instead, to look at
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import depth  # noqa: E402
import mnist  # noqa: E402
import sine  # noqa: E402

import autograd_core as ag  # noqa: E402
import nn  # noqa: E402

PICTURES = ROOT / "docs" / "gallery"


def drawn_sine() -> Any:
    """The network of examples/sine.py, with what its parameters' first update was."""
    model = sine.network(0)
    optimizer = nn.SGD(model.parameters(), 0.01)
    x = np.linspace(0, 2 * np.pi, 64, dtype=np.float32)[:, None]
    y = np.sin(x)
    with ag.observe():
        loss = nn.mse_loss(model(x), y)
        loss.backward()
    optimizer.step()
    return ag.draw(loss, overlay="update")


def drawn_block() -> Any:
    """A residual block of He et al., and where its bytes are."""
    block = nn.ResidualBlock(16, 32, stride=2)
    x = np.zeros((8, 16, 16, 16), np.float32)
    block(x).sum().backward()  # kernels compile at their first use
    with ag.observe():
        loss = block(x).mean()
        loss.backward()
    return ag.draw(loss, overlay="bytes")


def drawn_mnist(**options: Any) -> Any:
    """The forward pass of examples/mnist.py."""
    images, labels, *_ = mnist.digits()
    x, y = images[:16], labels[:16]
    model = mnist.network()
    loss = nn.cross_entropy(model(x), y)
    return ag.draw(loss, **options)


def drawn_mnist_collapsed() -> Any:
    """The same, modules closed."""
    return drawn_mnist(depth=1)


def drawn_mnist_paired() -> Any:
    """Both of its passes, modules closed, with what each keeps for the backward pass."""
    return drawn_mnist(view="paired", depth=1)


def drawn_paired() -> Any:
    """A dense head with both passes side by side."""
    model = nn.Sequential(nn.Dense(8, 16), nn.Tanh(), nn.Dense(16, 3))
    x = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
    labels = np.arange(32) % 3
    loss = nn.cross_entropy(model(x), labels)
    return ag.draw(loss, view="paired")


def drawn_values() -> Any:
    """A small computation with value and gradient in every cell."""
    x, w, b = (ag.tensor(value, requires_grad=True) for value in ([1.0, 2.0], [0.5, -1.0], 0.25))
    with ag.observe():
        y = ag.tanh((x * w).sum() + b)
        loss = ag.square(y - 1)
        loss.backward()
    return ag.draw(loss, values=True)


def drawn_compiled() -> Any:
    """A compiled loss, with the instructions that compute it."""
    model = sine.network(0)

    @ag.compile
    def error(x: Any, y: Any) -> Any:
        return nn.mse_loss(model(x), y)

    x = np.linspace(0, 2 * np.pi, 64, dtype=np.float32)[:, None]
    error(x, np.sin(x))
    return ag.draw(error)


def drawn_deep() -> Any:
    """A thousand residual layers of examples/depth.py."""
    model = depth.tower("residual", 1000, 32, 0)
    return ag.draw(model(np.zeros((4, 784), np.float32)).sum())


def drawn_autopsy() -> Any:
    """What an autopsy found: a gradient that is NaN behind a mask."""
    _model, found = _nan()
    return found.draw()


def _nan() -> tuple[Any, Any]:
    model = nn.Sequential(nn.Dense(2, 3), nn.Tanh())
    model.layers[0].weight.assign(np.array([[1, -1, 0.5], [0.5, -1, 1]], np.float32))
    model.layers[0].bias.assign(np.zeros(3, np.float32))
    x = np.array([[1, 2], [3, 4]], np.float32)
    with ag.observe(), np.errstate(all="ignore"):
        y = model(x)
        distance = ag.square(y - y[:1])  # of each row to the first, which is 0 for the first itself
        loss = ag.where(distance > 0, ag.sqrt(distance), 0).sum()
    return model, ag.autopsy(loss)


GALLERY: list[tuple[str, Callable[[], Any], str, str]] = [
    (
        "sine",
        drawn_sine,
        "The sine network, after a step: how far parameters moved",
        'ag.draw(loss, overlay="update")',
    ),
    ("block", drawn_block, "A residual block: where the bytes are", 'ag.draw(loss, overlay="bytes")'),
    ("mnist-collapsed", drawn_mnist_collapsed, "The MNIST network, collapsed", "ag.draw(loss, depth=1)"),
    ("mnist", drawn_mnist, "The MNIST network, open", "ag.draw(loss)"),
    (
        "mnist-paired",
        drawn_mnist_paired,
        "The MNIST network, both passes, and what is kept between them",
        'ag.draw(loss, view="paired", depth=1)',
    ),
    ("paired", drawn_paired, "A dense head, forward and backward", 'ag.draw(loss, view="paired")'),
    ("values", drawn_values, "Value and gradient in every cell", "ag.draw(loss, values=True)"),
    ("compiled", drawn_compiled, "A compiled function, and its instructions", "ag.draw(error)"),
    ("deep", drawn_deep, "A network of 1,000 residual layers", "ag.draw(loss)"),
    ("autopsy", drawn_autopsy, "A NaN's autopsy", "ag.autopsy(loss).draw()"),
]


def page() -> str:
    """docs/gallery.md."""
    parts = [
        "# Gallery\n\nMade by `python tools/gallery.py` from the programs in [examples](../examples). Every picture "
        'is also a page to open and search: `.save("graph.html")`.\n'
    ]
    for name, _, title, code in GALLERY:
        parts.append(f"## {title}\n\n    {code}\n\n![{title}](gallery/{name}.svg)\n")
        if name == "autopsy":
            parts.append("```\n" + str(_nan()[1]).replace(str(ROOT), "") + "\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Draw all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw, *_ in GALLERY:
        ag.random.seed(0)
        graph = draw()
        print(graph.save(folder / f"{name}.{'png' if len(sys.argv) > 1 else 'svg'}").name, graph)
    if len(sys.argv) == 1:
        (PICTURES.parent / "gallery.md").write_text(page())


if __name__ == "__main__":
    main()
