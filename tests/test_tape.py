"""The tape: long chains, diamonds, memory, threads, no_grad, backward's rules. HAZARDS.md's graph cases are here."""

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_core as ag
from autograd_core.sweep import sweep
from autograd_core.tape import Node, state

CHAIN = 1_000_000


def leaf(data, dtype="float64"):
    return ag.tensor(np.asarray(data, dtype), requires_grad=True)


def nodes_of(tensor):
    """Every node under a tensor."""
    found, pending = set(), [tensor.node]
    while pending:
        node = pending.pop()
        if node is not None and node not in found:
            found.add(node)
            pending.extend(node.inputs)
    return found


# Shapes of graphs ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_chain_of_a_million_operations_goes_forward_backward_and_away():
    x = leaf(1.0)
    y = x
    for _ in range(CHAIN // 2):
        y = -y
        y = y + 1e-6
    first = weakref.ref(x)
    y.backward()
    assert x.grad.item() == 1.0
    del x, y
    assert first() is None


def test_a_long_chain_that_is_never_swept_is_torn_down_without_recursion():
    y = leaf(1.0)
    for _ in range(200_000):
        y = -y
    del y


def test_a_long_chain_kept_by_retain_graph_is_torn_down_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y.backward(retain_graph=True)
    del y
    assert x.grad.item() == 1.0


def test_a_long_chain_of_create_graph_is_torn_down_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    y.backward(create_graph=True)
    del y
    x.grad = None


def test_a_diamond_repeated_60_times_costs_60_visits_not_a_power_of_two():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    assert len(nodes_of(y)) == 61
    y.backward()
    assert x.grad.item() == 2.0**60


def test_a_diamond_of_separate_branches_repeated_60_times():
    x = leaf(0.5)
    y = x
    for _ in range(60):
        y = ag.sin(y) + ag.cos(y)
    value, slope = 0.5, 1.0
    for _ in range(60):
        value, slope = np.sin(value) + np.cos(value), slope * (np.cos(value) - np.sin(value))
    y.backward()
    np.testing.assert_allclose(x.grad.item(), slope, rtol=1e-12)


def test_a_diamond_repeated_60_times_to_second_order():
    def f(x):
        for _ in range(60):
            x = 0.5 * x + 0.5 * x
        return x * x

    assert ag.grad(ag.grad(f))(3.0).item() == pytest.approx(2.0)


def test_a_wide_sum_of_one_leaf():
    x = leaf(1.0)
    total = x
    for _ in range(2000):
        total = total + x
    total.backward()
    assert x.grad.item() == 2001.0


def test_a_leaf_used_twice_gets_both_shares():
    x = leaf([1.0, 2.0, 3.0])
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [3.0, 5.0, 7.0]
    y = leaf([3.0])
    (y * y).backward()
    assert y.grad.tolist() == [6.0]


def test_shares_that_are_added_in_place_change_no_other_cotangent():
    x, z = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = np.array([1.0, 10.0])
    (x + z + x + x + x).backward(seed, retain_graph=True)
    assert seed.tolist() == [1.0, 10.0]
    assert x.grad.tolist() == [4.0, 40.0]
    assert z.grad.tolist() == [1.0, 10.0]


def test_an_unused_leaf_keeps_grad_none():
    used, unused = leaf(1.0), leaf(1.0)
    p = ag.Parameter([1.0])
    (used * 2).backward()
    assert unused.grad is None
    assert p.grad is None


def test_a_leaf_whose_share_is_multiplied_by_zero_gets_zero_not_none():
    x, y = leaf([1.0]), leaf([2.0])
    (x * 0 + y).sum().backward()
    assert x.grad.tolist() == [0.0]


def test_branches_of_unequal_length_meet_in_the_right_order():
    x = leaf(1.1)
    short = x * 2
    long = x
    for _ in range(50):
        long = ag.sin(long)
    y = short * long
    (y + short).backward()
    ag.check_grads(lambda v: v * 2 * ag.sin(ag.sin(v)) + v * 2, (np.array(1.1),))
    value, slope = 1.1, 1.0
    for _ in range(50):
        value, slope = np.sin(value), slope * np.cos(value)
    np.testing.assert_allclose(x.grad.item(), 2 * value + 2 * 1.1 * slope + 2, rtol=1e-12)


def test_an_older_tensor_may_consume_nothing_newer_but_order_of_use_is_free():
    a, b = leaf(2.0), leaf(3.0)
    late = a * b
    early = b * 1.0
    (late * early).backward()
    assert a.grad.item() == 9.0
    assert b.grad.item() == 12.0


# backward's rules -----------------------------------------------------------------------------------------------


def test_backward_twice_is_an_error_that_names_retain_graph():
    x = leaf([1.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2.0]


def test_backward_through_a_freed_part_is_an_error_and_changes_no_grad():
    x, z = leaf([1.0]), leaf([1.0])
    shared = x * x
    (shared * 2).sum().backward()
    x.grad = None
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        (shared * z).sum().backward()
    assert x.grad is None
    assert z.grad is None


def test_retain_graph_lets_backward_run_again_and_adds_up():
    x = leaf([3.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [18.0]


def test_backward_on_a_non_scalar_without_a_cotangent_says_how_to_give_one():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(RuntimeError, match=r"float64\[2\].*sum.*cotangent"):
        y.backward()
    y.backward([1.0, 10.0])


def test_backward_on_one_element_of_any_rank_needs_no_cotangent():
    x = leaf([[2.0]])
    (x * x).backward()
    assert x.grad.tolist() == [[4.0]]


def test_backward_of_an_empty_tensor_needs_a_cotangent():
    x = leaf([])
    with pytest.raises(RuntimeError, match="cotangent"):
        (x * 2).backward()
    (x * 2).backward(np.zeros(0))
    assert x.grad.shape == (0,)


def test_a_cotangent_of_another_shape_is_an_error():
    y = leaf([1.0, 2.0]) * 2
    for wrong in (1.0, [1.0], [[1.0, 2.0]], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="cotangent"):
            y.backward(wrong)


def test_a_cotangent_takes_the_tensors_dtype():
    x = leaf([1.0, 2.0], "float32")
    (x * 2).backward(np.array([1.0, 0.5], "float64"))
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2.0, 1.0]
    (x * 2).backward([1, 0])
    assert x.grad.tolist() == [4.0, 1.0]


def test_rules_get_cotangents_of_their_results_own_dtype_and_ndarrays_unless_create_graph():
    seen = []

    @ag.primitive
    def spied(x):
        return x * 1.0

    def rule(g):
        seen.append((type(g), g.dtype.name))
        return g

    spied.defvjp(rule)
    x = leaf([1.0, 2.0], "float32")
    spied(x).backward(np.ones(2))
    spied(x).backward([1, 2])
    spied(x).backward([1.0, 2.0], create_graph=True)
    assert seen == [(np.ndarray, "float32"), (np.ndarray, "float32"), (ag.Tensor, "float32")]


def test_a_rule_that_uses_a_tracked_tensor_is_recorded_only_with_create_graph():
    factor = leaf(3.0)
    recorded = []

    @ag.primitive
    def scaled(x):
        return x * 3.0

    def rule(g):
        share = g * factor
        recorded.append(share.requires_grad)
        return share

    scaled.defvjp(rule)
    scaled(leaf(1.0)).backward()
    scaled(leaf(1.0)).backward(create_graph=True)
    assert recorded == [False, True]


def test_create_graph_under_no_grad_still_gives_gradients_that_can_be_differentiated():
    x = leaf([2.0])
    y = x**3
    with ag.no_grad():
        y.backward(create_graph=True)
    assert x.grad.requires_grad


def test_backward_on_a_tensor_without_a_graph_says_how_to_get_one():
    for t in (ag.tensor([1.0]), ag.tensor([1.0]) * 2, leaf([1.0]).detach()):
        with pytest.raises(RuntimeError, match=r"no graph.*requires_grad=True"):
            t.backward()


def test_backward_on_a_leaf_is_its_own_cotangent():
    x = leaf([2.0])
    x.backward()
    assert x.grad.tolist() == [1.0]


def test_intermediate_tensors_get_no_grad():
    x = leaf([1.0])
    y = x * 2
    (y * 3).sum().backward()
    assert y.grad is None


def test_gradients_add_up_over_several_losses():
    x = leaf([1.0, 2.0])
    for factor in (1.0, 10.0, 100.0):
        (x * factor).sum().backward()
    assert x.grad.tolist() == [111.0, 111.0]
    assert type(x.grad) is ag.Tensor
    assert not x.grad.requires_grad


def test_adding_up_makes_a_new_gradient_and_leaves_the_earlier_one_alone():
    x = leaf([1.0])
    (x * 2).sum().backward()
    earlier = x.grad
    (x * 3).sum().backward()
    assert earlier.tolist() == [2.0]
    assert x.grad.tolist() == [5.0]


def test_create_graph_gives_gradients_that_can_be_differentiated():
    x = leaf([2.0, 3.0])
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward(create_graph=True)
    assert x.grad.tolist() == [12.0, 18.0]
    second = x.grad
    x.grad = None
    second.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_create_graph_with_a_tracked_cotangent():
    x, v = leaf([2.0]), leaf([5.0])
    (x * x).backward(v, create_graph=True)
    x.grad.sum().backward()
    assert v.grad.tolist() == [4.0]


# Aliasing -------------------------------------------------------------------------------------------------------


def test_gradients_that_came_from_one_cotangent_do_not_change_together():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    cotangent = ag.tensor(np.array([1.0, 1.0]))
    (x + y).backward(cotangent)
    x.grad[0] = 50.0
    x.grad *= 2
    assert y.grad.tolist() == [1.0, 1.0]
    assert cotangent.tolist() == [1.0, 1.0]


def test_changing_the_cotangents_ndarray_afterwards_changes_no_gradient():
    x, cotangent = leaf([1.0, 2.0]), np.array([1.0, 1.0])
    (x + 0.0).backward(cotangent)
    cotangent[:] = 99
    assert x.grad.tolist() == [1.0, 1.0]


def test_accumulation_does_not_write_into_a_cotangent_that_others_hold():
    """x's share of the first backward is the very array that y got: adding the second must not write to it."""
    x, y = leaf([1.0]), leaf([1.0])
    total = x + y
    (total + x).backward(np.ones(1))
    assert (x.grad.tolist(), y.grad.tolist()) == ([2.0], [1.0])
    (x + y).backward(np.ones(1))
    assert (x.grad.tolist(), y.grad.tolist()) == ([3.0], [2.0])


def test_changing_an_ndarray_operand_after_the_call_changes_no_gradient():
    x = leaf([1.0, 2.0])
    factor = np.array([3.0, 4.0])
    y, z = x * factor, factor * x
    w = ag.asarray(factor) * x
    factor[:] = 1000
    for out in (y, z, w):
        x.grad = None
        out.sum().backward()
        assert x.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x, a: ag.where(a > 3.5, x, x * 2),
        lambda x, a: ag.maximum(x, a),
        lambda x, a: ag.concat([x, ag.asarray(a)]),
        lambda x, a: x @ a,
        lambda x, a: ag.atan2(x, a),
        lambda x, a: x**a,
        lambda x, a: ag.clip(x, a - 5, a),
    ],
)
def test_changing_an_ndarray_operand_after_the_call_changes_no_gradient_of_any_operation(f):
    def gradient(disturb):
        x, a = leaf([1.5, 2.5]), np.array([3.0, 4.0])
        out = f(x, a).sum()
        if disturb:
            a[:] = 77
        out.backward()
        return x.grad.tolist()

    assert gradient(True) == gradient(False)


# What is recorded, what is kept ------------------------------------------------------------------------------------


def test_nothing_is_recorded_when_no_input_requires_a_gradient():
    x = ag.tensor([1.0, 2.0])
    for out in (x + 1, ag.exp(x), x @ x, x[0], x.sum(), ag.concat([x, x]), ag.softmax(x)):
        assert out.node is None
        assert out.is_leaf
        assert not out.requires_grad


def test_integer_results_of_tracked_inputs_are_not_recorded():
    x = leaf([1.0, 2.0])
    for out in (x > 1, x.argmax(), ag.isnan(x), x.astype("int32"), ag.argsort(x)):
        assert out.node is None


def saved(tensor):
    """The arrays that a tensor's own node keeps."""
    return [a for a in tensor.node.saved if isinstance(a, np.ndarray)]


def test_the_tape_keeps_only_what_some_rule_names():
    x, y = leaf(np.ones(3)), leaf(np.ones(3))
    for out in (
        x + y,
        x - y,
        -x,
        x.reshape(3, 1),
        x.sum(),
        x.mean(),
        x.flip(),
        x[1:],
        x.astype("float32"),
        x.T,
    ):
        assert saved(out) == []
    for out in (ag.exp(x), ag.tanh(x), ag.sqrt(x), ag.sigmoid(x)):
        assert [a is out.array for a in saved(out)] == [True]
    for out in (ag.sin(x), ag.square(x), ag.log(x)):
        assert [a is x.array for a in saved(out)] == [True]
    assert [a is b for a, b in zip(saved(x * y), [x.array, y.array], strict=True)] == [True, True]


def test_the_tape_keeps_only_what_the_inputs_that_need_it_name():
    x, constant = leaf(np.ones(3)), ag.tensor(np.full(3, 2.0))
    assert [a is constant.array for a in saved(x * constant)] == [True]
    assert [a is constant.array for a in saved(constant * x)] == [True]
    assert saved(x * 2.0) == []


def test_intermediate_arrays_die_as_soon_as_nobody_needs_them():
    x = leaf(np.ones(1000))
    first = x + 1.0
    array = weakref.ref(first.array)
    second = first + 1.0
    del first
    assert array() is None
    assert second.sum().item() == 3000.0


def test_backward_frees_saved_arrays_even_while_the_result_lives():
    x = leaf(np.ones(1000))
    middle = ag.exp(x)
    array = weakref.ref(middle.array)
    y = (middle * middle).sum()
    del middle
    assert array() is not None
    y.backward()
    assert array() is None


class NoCollector:
    """With the garbage collector off, only reference counts free anything."""

    def __enter__(self):
        gc.collect()
        gc.disable()

    def __exit__(self, *error):
        gc.enable()


def watch(tensor):
    """Weak references to all arrays that a graph keeps, and to the tensor itself."""
    arrays = [a for node in nodes_of(tensor) if node.saved for a in node.saved if isinstance(a, np.ndarray)]
    return [weakref.ref(a) for a in [*arrays, tensor.array]] + [weakref.ref(tensor)]


def network(x, w):
    hidden = ag.relu(x @ w) + ag.exp(-x).sum()
    return (hidden[1:] * ag.softmax(hidden[:-1])).sum() + ag.concat([x, w]).mean()


@pytest.mark.parametrize("how", ["dropped", "backward", "retained", "create_graph", "error"])
def test_graphs_die_by_reference_count_alone(how):
    with NoCollector():
        x, w = leaf(np.ones((3, 3))), leaf(np.full((3, 3), 0.5))
        loss = network(x, w)
        watched = watch(loss)
        leaves = [weakref.ref(x), weakref.ref(w)]
        if how == "backward":
            loss.backward()
        elif how == "retained":
            loss.backward(retain_graph=True)
        elif how == "create_graph":
            loss.backward(create_graph=True)
            watched += watch(x.grad)
        elif how == "error":
            with pytest.raises(ValueError, match="cotangent"):
                loss.backward(np.ones(7))
        del loss
        if how == "create_graph":
            x.grad = w.grad = None
        del x, w
        assert [r for r in watched if r() is not None] == []
        assert [r for r in leaves if r() is not None] == []


@pytest.mark.parametrize("wrapped", [lambda f: f, ag.checkpoint], ids=["plain", "checkpoint"])
def test_a_leaf_whose_gradient_has_a_graph_of_its_own_is_no_cycle(wrapped):
    with NoCollector():
        x = leaf([1.0, 2.0])
        wrapped(lambda v: (v**3).sum())(x).backward(create_graph=True)
        reference, array = weakref.ref(x), weakref.ref(x.grad.array)
        del x
        assert reference() is None
        assert array() is None


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: ag.grad(f)(x),
        lambda f, x: ag.grad(lambda v: ag.grad(f)(v).sum())(x),
        lambda f, x: ag.vjp(f, x),
        lambda f, x: ag.jvp(f, (x,), (np.ones(2),)),
        lambda f, x: ag.hessian(f)(x),
        lambda f, x: ag.hvp(f, x, np.ones(2)),
        lambda f, x: ag.grad(ag.checkpoint(f))(x),
        lambda f, x: ag.grad(lambda v: ag.grad(ag.checkpoint(f))(v).sum())(x),
    ],
    ids=["grad", "grad-grad", "vjp", "jvp", "hessian", "hvp", "checkpoint", "checkpoint-second"],
)
def test_transforms_leave_no_garbage_for_the_collector(transform):
    made = []

    def f(v):
        out = ag.exp(v) * v
        made.append(weakref.ref(out.array))
        return (out * out).sum()

    transform(f, np.array([0.5, 1.5]))  # what is made once and kept (plans) is made now
    made.clear()
    with NoCollector():
        result = transform(f, np.array([0.5, 1.5]))
        del result
        assert made
        assert [r for r in made if r() is not None] == []


def test_an_exception_in_a_rule_leaves_no_graph_behind():
    @ag.primitive
    def broken(x):
        return x * 1.0

    def rule(g):
        raise ZeroDivisionError("no")

    broken.defvjp(rule)
    x = leaf([1.0])
    y = broken(ag.exp(x))
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert x.grad is None
    assert state.recording
    assert state.module_path == ""


# no_grad --------------------------------------------------------------------------------------------------------


def test_no_grad_records_nothing_and_nests():
    x = leaf([1.0])
    with ag.no_grad():
        assert not (x * 2).requires_grad
        with ag.enable_grad():
            assert (x * 2).requires_grad
            with ag.no_grad():
                assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_ends_when_an_exception_leaves_it():
    x = leaf([1.0])
    with pytest.raises(ZeroDivisionError), ag.no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad


def test_no_grad_as_a_decorator_with_and_without_brackets():
    x = leaf([1.0])

    @ag.no_grad()
    def called(v):
        return v * 2

    @ag.no_grad
    def bare(v):
        return v * 2

    for f in (called, bare):
        assert not f(x).requires_grad
        assert (x * 2).requires_grad
    assert called.__name__ == "called"


def test_a_decorated_function_may_call_itself():
    x = leaf([1.0])

    @ag.no_grad()
    def descend(n):
        assert not (x * 2).requires_grad
        return descend(n - 1) if n else 0

    descend(5)
    assert (x * 2).requires_grad


def test_one_no_grad_object_can_be_entered_twice():
    x, off = leaf([1.0]), ag.no_grad()
    with off:
        with off:
            assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def in_thread(f):
    """f's result, computed in another thread."""
    results = []

    def run():
        try:
            results.append((f(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = results[0]
    if error is not None:
        raise error
    return value


def test_no_grad_is_of_one_thread():
    x = leaf([1.0])
    with ag.no_grad():
        assert in_thread(lambda: (x * 2).requires_grad)
        assert not (x * 2).requires_grad


# Threads --------------------------------------------------------------------------------------------------------


def test_a_tensor_from_one_thread_is_used_and_differentiated_in_another():
    x = leaf([1.0, 2.0])
    y = in_thread(lambda: x * x)
    z = y * 3
    in_thread(lambda: z.sum().backward())
    assert x.grad.tolist() == [6.0, 12.0]


def test_many_threads_record_and_sweep_at_once():
    shared = ag.tensor(np.linspace(0.1, 1, 50))
    barrier = threading.Barrier(4)
    wrong = []

    def work(seed):
        barrier.wait()
        for i in range(30):
            x = leaf(np.full(50, 1.0 + seed + i))
            ag.sin(x * shared).sum().backward()
            if not np.allclose(x.grad.numpy(), np.cos(x.numpy() * shared.numpy()) * shared.numpy()):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_node_indices_are_unique_across_threads():
    indices, barrier = [], threading.Barrier(4)

    def work():
        barrier.wait()
        x = leaf([1.0])
        mine = [(x * 2).node.index for _ in range(2000)]
        indices.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(indices)) == 8000


# Exceptions -----------------------------------------------------------------------------------------------------


def test_an_exception_halfway_through_a_forward_pass_leaves_the_engine_usable():
    x = leaf([1.0, 2.0])

    def f(v):
        y = v * 2
        y = y @ np.ones((3, 3))  # does not fit
        return y.sum()

    for call in (
        lambda: f(x),
        lambda: ag.grad(f)(x),
        lambda: ag.jvp(f, (x,), (x,)),
        lambda: ag.checkpoint(f)(x),
    ):
        with pytest.raises(ValueError, match="matmul"):
            call()
        assert state.recording
        assert state.assigning
        assert x.grad is None
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0, 4.0]
        x.grad = None


def test_an_exception_in_a_sweep_leaves_every_grad_as_it_was():
    x, y = leaf([1.0]), leaf([1.0])
    x.grad = [7.0]

    @ag.primitive
    def broken(v):
        return v * 1.0

    loss = (broken(x * 2) * 1.0 + y * 3).sum()  # has no rule
    with pytest.raises(TypeError, match=r"broken.*defvjp"):
        loss.backward()
    assert x.grad.tolist() == [7.0]
    assert y.grad is None


def test_a_keyboard_interrupt_in_a_sweep_leaves_the_engine_usable():
    @ag.primitive
    def interrupted(x):
        return x * 1.0

    def rule(g):
        raise KeyboardInterrupt

    interrupted.defvjp(rule)
    x = leaf([1.0])
    with pytest.raises(KeyboardInterrupt):
        interrupted(x).sum().backward()
    assert state.recording
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0]


# The sweep ------------------------------------------------------------------------------------------------------


def test_a_sweep_for_chosen_targets_visits_nothing_older():
    x = leaf([2.0])
    middle = x * 3
    out = middle * middle

    class Forbidden(Exception):
        pass

    found = sweep([(out.node, np.ones(1))], targets={middle.node}, retain_graph=True)
    assert [(node is middle.node, g.tolist()) for node, g in found.items()] == [(True, [12.0])]
    assert x.grad is None


def test_nodes_are_numbered_in_the_order_of_computation_and_name_themselves():
    x = leaf([1.0, 2.0])
    y = ag.exp(x)
    z = y.sum()
    assert x.node.index < y.node.index < z.node.index
    assert "exp" in repr(y.node)
    assert "float64[2]" in repr(y.node)
    assert isinstance(z.node, Node)


# Random programs ------------------------------------------------------------------------------------------------

UNARY = {
    "sin": ag.sin, "tanh": ag.tanh, "atan": ag.atan, "sigmoid": ag.sigmoid, "softplus": ag.softplus,
    "exp": lambda a: ag.exp(0.3 * ag.tanh(a)),
    "square": lambda a: 0.3 * ag.square(a),
    "negate": lambda a: -a,
    "transpose": lambda a: a.T,
    "flip": lambda a: a.flip(axis=0),
    "roll": lambda a: ag.roll(a, 1, axis=0),
    "rows": lambda a: a[np.array([1, 0, 1])[:, None], np.array([0, 2, 1])],
    "softmax": lambda a: ag.softmax(a, axis=1),
    "logsumexp": lambda a: a + ag.logsumexp(a, axis=1, keepdims=True),
    "cumsum": lambda a: 0.3 * a.cumulative_sum(axis=0),
    "center": lambda a: a - a.mean(axis=0, keepdims=True),
    "prod": lambda a: a + ag.prod(ag.tanh(a), axis=0),
}  # fmt: skip
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: ag.tanh(a) * b,
    "divide": lambda a, b: a / (1.5 + ag.square(ag.tanh(b))),
    "matmul": lambda a, b: 0.3 * ag.tanh(a) @ b,
    "logaddexp": ag.logaddexp,
    "atan2": lambda a, b: ag.atan2(a, 2.0 + ag.sigmoid(b)),
    "row": lambda a, b: a + b[0],
    "column": lambda a, b: a * ag.tanh(b[:, :1]),
    "where": lambda a, b: ag.where(np.eye(3, dtype=bool), a, b),
    "write": lambda a, b: written(a, b),
    "power": lambda a, b: (1.0 + ag.sigmoid(a)) ** ag.tanh(b),
    "joined": lambda a, b: ag.concat([a, b])[1:4],
}


def written(a, b):
    c = a * 1.0
    c[1:, 0] = b[0, 1:]
    c += b
    return c


programs = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 5)),
        st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 5), st.integers(0, 5)),
    ),
    min_size=3,
    max_size=12,
)


@given(programs, st.integers(0, 2**31))
@settings(max_examples=120)
def test_random_programs_have_the_derivatives_that_central_differences_give(steps, seed):
    draw = np.random.default_rng(seed)
    leaves = [draw.uniform(-1, 1, (3, 3)) for _ in range(3)]

    def program(*start):
        values = list(start)
        for name, *operands in steps:
            chosen = [values[-1 - i % len(values)] for i in operands]
            values.append((UNARY if len(operands) == 1 else BINARY)[name](*chosen))
        return (values[-1] * values[-2]).mean() + values[-1].sum() * 0.1

    ag.check_grads(program, tuple(leaves), order=2, atol=1e-4, rtol=1e-4, seed=seed)

    inputs = [leaf(x) for x in leaves]
    program(*inputs).backward()
    for i, x in enumerate(leaves):
        place = (seed % 3, seed // 3 % 3)
        moved = [[y + h * (j == i) * one(place) for j, y in enumerate(leaves)] for h in (1e-5, -1e-5)]
        slope = (program(*map(ag.tensor, moved[0])).item() - program(*map(ag.tensor, moved[1])).item()) / 2e-5
        got = inputs[i].grad.numpy()[place] if inputs[i].grad is not None else 0.0
        assert got == pytest.approx(slope, rel=1e-4, abs=1e-6), x


def one(place):
    unit = np.zeros((3, 3))
    unit[place] = 1
    return unit
