"""A parameter that stops being one, an optimizer of another model: said at once, not after a night of training."""

from copy import deepcopy

import numpy as np
import pytest

import autograd_core as ag
import nn


class Holder(nn.Module):
    """Parameters and buffers in attributes, lists, tuples and dicts."""

    def __init__(self):
        self.w = nn.Parameter([1.0, 2.0])
        self.count = nn.Buffer(0.0)
        self.listed = [nn.Parameter([1.0]), nn.Buffer([2.0])]
        self.named = {"a": nn.Parameter([1.0]), "deep": [(nn.Parameter([3.0]), nn.Dense(1, 1))]}
        self.pair = (nn.Parameter([1.0]), nn.Parameter([1.0]))

    def forward(self, x):
        return self.w * x


PLAIN = [
    lambda p: p * 0.5,
    lambda p: p.detach(),
    lambda p: ag.ones_like(p),
    lambda p: p.numpy(),
    lambda p: np.float32(1.0),
    lambda p: 0.5,
    lambda p: 0,
]


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize("recording", [True, False])
def test_a_parameter_replaced_by_a_plain_tensor_is_refused(plain, recording):
    model = nn.Sequential(nn.Dense(2, 2), nn.BatchNorm(2))
    dense, norm = model.layers
    for owner, name in ((dense, "weight"), (dense, "bias"), (norm, "weight")):
        before = getattr(owner, name)
        with (
            ag.tape.recording(recording),
            pytest.raises(TypeError, match=rf"{name} is a Parameter and would .*m\.{name}\.assign\("),
        ):
            setattr(owner, name, plain(before))
        assert getattr(owner, name) is before
    with pytest.raises(TypeError, match=r"running_mean is a Buffer .*m\.running_mean\.assign\(.*nn\.Buffer"):
        norm.running_mean = plain(norm.running_mean)
    holder = Holder()
    for name in ("w", "count"):
        with pytest.raises(TypeError, match=f"Holder.{name} is a"):
            setattr(holder, name, plain(getattr(holder, name)))
    assert len(model.parameters()) == 4


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize(
    "look", ["parameters", "buffers", "state_dict", "eval", "zero_grad", "named_modules"]
)
def test_one_replaced_in_a_list_or_dict_is_noticed_when_the_model_is_walked(plain, look):
    places = [
        (lambda m: m.listed, 0, r"listed\[0\]"),
        (lambda m: m.listed, 1, r"listed\[1\]"),
        (lambda m: m.named, "a", r"named\['a'\]"),
    ]
    for container, key, match in places:
        holder = Holder()
        outer = nn.Sequential(nn.ReLU(), holder)
        container(holder)[key] = plain(container(holder)[key])
        with pytest.raises(TypeError, match=match):
            list(getattr(outer, look)() or ())


def test_containers_replaced_as_a_whole_are_looked_through():
    holder = Holder()
    with pytest.raises(TypeError, match=r"listed\[0\] is a Parameter"):
        holder.listed = [p * 0.5 for p in holder.listed]
    with pytest.raises(TypeError, match=r"pair\[1\] is a Parameter"):
        holder.pair = (holder.pair[0], holder.pair[1] * 2)
    with pytest.raises(TypeError, match=r"named\['deep'\]\[0\]\[0\] is a Parameter"):
        holder.named = {"a": holder.named["a"], "deep": [(ag.ones(1), holder.named["deep"][0][1])]}
    holder.parameters()
    holder.listed = [nn.Parameter([5.0]), nn.Buffer([2.0])]
    holder.listed.append(nn.Parameter([6.0]))
    assert len(holder.parameters()) == 9


def test_what_stays_allowed():
    holder = Holder()
    holder.w = nn.Parameter([5.0])
    holder.count = nn.Parameter([1.0])
    holder.count = nn.Buffer(1.0)
    holder.w.assign([6.0])
    with ag.no_grad():
        holder.w *= 0.5
    assert holder.w.tolist() == [3.0]
    holder.w = None
    holder.w = ag.ones(2)  # None stood there: a tensor as it is
    holder.extra = ag.ones(2)
    holder.extra = holder.extra * 2
    holder.note = "text"
    del holder.count
    holder.count = 3
    holder.named["a"] = None
    del holder.listed[0]
    holder.parameters()
    holder.listed[0] = nn.Parameter([1.0])
    holder.named["t"] = ag.ones(1)
    holder.parameters()
    holder.named["t"] = ag.ones(1)
    holder.parameters()
    holder.pair = nn.Dense(1, 1)  # a module in its place
    copied = deepcopy(holder)
    copied.parameters()
    copied.listed[0] = copied.listed[0] * 1
    with pytest.raises(TypeError, match=r"listed\[0\]"):
        copied.parameters()
    holder.parameters()


def data(rows=16):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    return x, x[:, :2].copy()


def network():
    return nn.Sequential(nn.Dense(4, 8), nn.BatchNorm(8), nn.ReLU(), nn.Dense(8, 2))


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("kind", [nn.SGD, nn.Adam, nn.AdamW, nn.RMSprop])
def test_fit_with_another_models_optimizer_raises_at_the_first_step(kind, compile):
    optimizer = kind(network().parameters(), 0.1)
    model = network()
    before = model.state_dict(), optimizer.state_dict()
    with pytest.raises(
        ValueError, match=rf"6 are not this model's: make .*optimizer = nn\.{kind.__name__}\(model"
    ):
        nn.fit(model, data(), nn.mse_loss, optimizer, 2, compile=compile, progress=False)
    for now, then in zip((model.state_dict(), optimizer.state_dict()), before):
        for name in then:
            np.testing.assert_array_equal(now[name], then[name])
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("compile", [True, False])
def test_other_optimizers_that_train_nothing(compile):
    model = network()
    head = model.layers[3]
    spare = nn.Dense(2, 2)
    model.spare = spare  # not in forward
    cases = [(spare.parameters(), "the loss does not depend on them")]
    cases.append((nn.Dense(1, 1).parameters(), "2 are not this model's"))
    for params, match in cases:
        with pytest.raises(ValueError, match=match):
            nn.fit(model, data(), nn.mse_loss, nn.SGD(params, 0.1), 1, compile=compile, progress=False)
    for p in head.parameters():
        p.requires_grad = False
    with pytest.raises(ValueError, match=r"2 are frozen: set p\.requires_grad = True"):
        nn.fit(model, data(), nn.mse_loss, nn.SGD(head.parameters(), 0.1), 1, compile=compile, progress=False)


@pytest.mark.parametrize("compile", [True, False])
def test_fine_tuning_of_a_part_and_frozen_parts_train(compile, capsys):
    model = network()
    head, first = model.layers[3], model.layers[0]
    for chosen in (head.parameters(), model.parameters()):
        before = head.weight.numpy().copy(), first.weight.numpy().copy()
        for p in first.parameters():
            p.requires_grad = False
        nn.fit(model, data(), nn.mse_loss, nn.Adam(chosen, 0.1), 1, compile=compile, progress=False)
        assert (head.weight.numpy() != before[0]).any()
        assert (first.weight.numpy() == before[1]).all()

    scale = nn.Parameter([1.0])  # a parameter of the loss
    loss = lambda p, t: nn.mse_loss(p * scale, t)
    nn.fit(model, data(), loss, nn.SGD([*head.parameters(), scale], 0.1), 1, compile=compile, progress=False)
    assert scale.item() != 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("compile", [True, False])
def test_a_parameter_replaced_after_the_optimizer_was_made_is_told(compile, capsys):
    model = network()
    optimizer = nn.SGD(model.parameters(), 0.1)
    model.layers[3].weight = nn.Parameter(model.layers[3].weight)
    nn.fit(model, data(), nn.mse_loss, optimizer, 1, compile=compile, progress=False)
    assert "1 of the optimizer's 6 parameters are not this model's" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"optimizer": nn.Adam}, r"the class Adam: make one, nn\.Adam\(model\.parameters"),
        ({"optimizer": []}, "optimizer is a list: give one"),
        ({"optimizer": object()}, "builtins.object without step, zero_grad, lr"),
        ({"metrics": ["accuracy"]}, "metrics is a list: give names and functions"),
        ({"loss": lambda p, t: 1.0}, "the loss is a float: return a tensor"),
        ({"data": ([[1.0] * 4], [[1.0] * 2])}, r"a tuple of lists: give arrays, \(np\.asarray"),
        ({"data": [*data()]}, r"arrays as a tuple, \(x, y\)"),
    ],
)
def test_wrong_arguments_of_fit_are_named(change, match):
    model = network()
    given = {"optimizer": nn.SGD(model.parameters(), 0.1), "loss": nn.mse_loss, "data": data(), "epochs": 1}
    with pytest.raises(TypeError, match=match):
        nn.fit(model, progress=False, **(given | change))


def test_a_list_that_holds_itself_can_be_set_again():
    model, items = nn.Module(), [nn.Parameter([1.0])]
    items.append(items)
    model.items = items
    model.items = items
    assert [name for name, _ in model.named_parameters()] == ["items.0"]
