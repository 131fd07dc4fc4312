"""Every program under examples/ on a small setting: its figure, its printed sentences, its picture."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import autograd_core as ag

plt = pytest.importorskip("matplotlib.pyplot")

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def program(monkeypatch):
    """Loads a program by name as Python does when it is run: the programs beside it can be imported."""
    plt.switch_backend("Agg")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = set(sys.modules)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    yield load
    for name in set(sys.modules) - before:
        if (
            getattr(sys.modules[name], "__file__", None)
            and Path(sys.modules[name].__file__).parent == EXAMPLES
        ):
            del sys.modules[name]
    assert not plt.get_fignums(), "the program left a figure open"


def check_picture(path, panels):
    """It was written, and every panel of a grid (rows, columns) over it has something on it."""
    pixels = plt.imread(path)[..., :3]
    assert min(pixels.shape[:2]) > 300
    rows, columns = panels
    for band in np.array_split(pixels, rows, axis=0):
        for part in np.array_split(band, columns, axis=1):
            assert (part < 0.9).any(axis=-1).mean() > 0.005, f"{path.name} has an empty panel"


def test_sine(program, tmp_path, capsys):
    loss = program("sine").main(["--epochs", "40", "--adam-epochs", "150", "--out", str(tmp_path)])
    assert loss < 0.1  # the sine's own variance is 0.5
    assert "epoch   20  loss" in capsys.readouterr().out
    check_picture(tmp_path / "sine.png", (1, 2))


def test_mnist(program, tmp_path, capsys):
    options = ["--epochs", "1", "--train", "768", "--out", str(tmp_path)]
    accuracy = program("mnist").main(options)
    assert accuracy > 0.5  # chance is 0.1
    assert f"{accuracy:.2%}" in capsys.readouterr().out
    check_picture(tmp_path / "mnist.png", (2, 2))


def test_faces(program, tmp_path, capsys):
    pytest.importorskip("skimage")
    options = [
        "--steps",
        "12",
        "--folds",
        "2",
        "--sizes",
        "5",
        "80",
        "--repeats",
        "1",
        "--out",
        str(tmp_path),
    ]
    accuracy = program("faces").main(options)
    assert accuracy > 0.8  # chance is 0.5
    out = capsys.readouterr().out
    assert f"{accuracy:.1%}" in out
    assert "flips and shifts" in out
    check_picture(tmp_path / "faces.png", (2, 2))


def test_faces_are_split_evenly_and_saliency_is_the_gradient(program):
    pytest.importorskip("skimage")
    faces = program("faces")
    images, labels = faces.pictures()
    parts = faces.folds(labels, 5, seed=3)
    assert sorted(np.concatenate(parts)) == list(range(200))
    assert all(labels[part].sum() == 20 and len(part) == 40 for part in parts)
    assert not np.allclose(images, images[..., ::-1])
    model = faces.network().eval()
    x = ag.tensor(images[:3], requires_grad=True)
    (-model(x).sum()).backward()
    look = faces.saliency(model, images[:3])
    np.testing.assert_allclose(look, abs(x.grad.numpy()), rtol=1e-5, atol=1e-7)
    assert look.max() > 0


def test_depth(program, tmp_path, capsys):
    options = [
        "--depths",
        "5",
        "60",
        "--width",
        "16",
        "--epochs",
        "3",
        "--plain-epochs",
        "1",
        "--train",
        "2048",
    ]
    accuracy = program("depth").main([*options, "--out", str(tmp_path)])
    assert accuracy > 0.6  # chance is 0.1
    assert "60 residual layers" in capsys.readouterr().out
    check_picture(tmp_path / "depth.png", (2, 2))


def test_a_plain_tower_loses_the_gradient_and_a_residual_one_keeps_it(program):
    depth = program("depth")
    images, labels, _, _ = depth.digits()
    data = images[:32].reshape(-1, 784), labels[:32]
    first_to_last = {}
    for kind in depth.CURVES:
        norms = depth.gradient_norms(kind, 300, 16, 0, data)
        assert norms.shape == (300,)
        first_to_last[kind] = norms[0] / norms[-1]
    assert 0.3 < first_to_last["residual"] < 10
    # Glorot's initialisation halves the mean square at each layer.
    assert first_to_last["plain, Glorot"] < 2.0 ** (-300 / 2 + 20)
    assert first_to_last["plain"] < 1e-3


def test_approximation(program, tmp_path, capsys):
    approximation = program("approximation")
    options = ["--widths", "2", "4", "8", "16", "32", "--seeds", "2", "--steps", "60", "--points", "129"]
    worst = approximation.main([*options, "--out", str(tmp_path)])
    assert worst < 0.1  # a constant has 1
    assert "as n^-" in capsys.readouterr().out
    check_picture(tmp_path / "approximation.png", (2, 3))


def test_the_output_layer_is_the_least_squares_solution(program):
    approximation = program("approximation")
    networks = approximation.Networks(2, 6)
    x, y = np.linspace(-1, 1, 40)[:, None], np.cos(5 * np.linspace(-1, 1, 40))[:, None]
    networks.solve(networks.hidden(ag.tensor(x)).detach(), ag.tensor(y))
    for h, output in zip(networks.hidden(ag.tensor(x)).numpy(), networks(ag.tensor(x)).numpy()):
        design = np.concatenate([h, np.ones((40, 1))], 1)
        exact = design @ np.linalg.lstsq(design, y)[0]
        np.testing.assert_allclose(output, exact, atol=1e-6)


def test_dropout(program, tmp_path, capsys):
    options = ["--seeds", "2", "--digits", "1500", "200", "--epochs", "2", "40", "--width", "16", "48"]
    losses = program("dropout").main([*options, "--out", str(tmp_path)])
    assert list(losses) == ["Underfitting", "Overfitting"]
    chance = math.log(10)
    for ways in losses.values():
        assert list(ways) == ["no dropout", "early", "standard", "late"]
        assert all(loss.shape == (2, 2) and (loss < chance).all() for loss in ways.values())
    train, test = losses["Overfitting"]["no dropout"].mean(0)
    assert test > 3 * train  # or it would not be overfitting
    assert losses["Overfitting"]["standard"].mean(0)[0] > train
    out = capsys.readouterr().out
    assert out.count("loss -") + out.count("loss +") >= 12  # paired differences: 2 regimes, 3 ways, 2 losses
    assert "late dropout lowers the test loss when overfitting" in out
    check_picture(tmp_path / "dropout.png", (2, 2))


def test_dropout_is_on_when_it_is_said_to_be(program):
    dropout = program("dropout")
    images, labels, _, _ = dropout.digits()
    seen = []
    original = dropout.set_rate
    dropout.set_rate = lambda model, rate: (seen.append(rate), original(model, rate))
    data = (images[:64].reshape(-1, 784), labels[:64]) * 2
    for way, rates in (("early", [0.4, 0.4, 0, 0, 0, 0]), ("late", [0, 0, 0.4, 0.4, 0.4, 0.4])):
        seen.clear()
        dropout.run(dropout.Regime("", 64, (8,), 6, 0.4), way, 0, data)
        assert seen[:6] == rates
