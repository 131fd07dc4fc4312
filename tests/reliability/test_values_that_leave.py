"""A tensor that requires a gradient refuses to become an ndarray or a number without a word; explicit ways stay."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.special
import scipy.stats

import autograd_core as ag


def tracked(values=(1.0, 2.0, 4.0)):
    return ag.tensor(np.array(values), requires_grad=True)


MATRIX = ((2.0, 1.0), (-1.0, 3.0))
REFUSED = {
    "np.asarray": lambda x: np.asarray(x),
    "np.asarray with a dtype": lambda x: np.asarray(x, dtype=np.float32),
    "np.array of a list": lambda x: np.array([x[0], x[1]]),
    "np.array of nested lists": lambda x: np.array([[0.0, 1.0], [2.0, x[1]]]),
    "np.array of objects": lambda x: np.array([x[0]], dtype=object),
    "np.mean of a list": lambda x: np.mean([x, x + 2]),
    "np.sum of a list": lambda x: np.sum([x[0], x[1]]),
    "np.r_": lambda x: np.r_[x, x],
    "np.c_": lambda x: np.c_[x, x],
    "np.fft.fft": lambda x: np.fft.fft(x),
    "np.fft.rfft": lambda x: np.fft.rfft(x),
    "np.roots": lambda x: np.roots(x),
    "np.poly1d": lambda x: np.poly1d(x),
    "np.linalg.eig": lambda x: np.linalg.eig(tracked(MATRIX)),
    "np.linalg.eigvals": lambda x: np.linalg.eigvals(tracked(MATRIX)),
    "np.emath.sqrt": lambda x: np.emath.sqrt(-x),
    "np.interp": lambda x: np.interp(x, [0, 1], [0, 1]),
    "np.linspace": lambda x: np.linspace(0, x[0], 3),
    "np.full": lambda x: np.full(3, x[0]),
    "np.vectorize": lambda x: np.vectorize(lambda v: v * v)(x),
    "np.ma.array": lambda x: np.ma.array(x),
    "np.float64": lambda x: np.float64(x[0]),
    "np.histogram": lambda x: np.histogram(x),
    "np.modf": lambda x: np.modf(x),
    "np.add.reduce": lambda x: np.add.reduce(x),
    "np.from_dlpack": lambda x: np.from_dlpack(x),
    "ndarray.dot": lambda x: np.ones((2, 3)).dot(x),
    "scipy.stats.norm.logpdf": lambda x: scipy.stats.norm.logpdf(x),
    "scipy.stats.zscore": lambda x: scipy.stats.zscore(x),
    "scipy.signal.convolve": lambda x: scipy.signal.convolve(x, [1.0, 1.0]),
    "scipy.special.logsumexp": lambda x: scipy.special.logsumexp(x),
    "scipy.special.gamma": lambda x: scipy.special.gamma(x),
    "scipy.linalg.solve": lambda x: scipy.linalg.solve(tracked(MATRIX), [1.0, 2.0]),
    "scipy.linalg.expm": lambda x: scipy.linalg.expm(tracked(MATRIX)),
    "scipy.integrate.simpson": lambda x: scipy.integrate.simpson(x),
    "scipy.ndimage.gaussian_filter": lambda x: scipy.ndimage.gaussian_filter(x, 1.0),
    "scipy.interpolate.CubicSpline": lambda x: scipy.interpolate.CubicSpline([0.0, 1, 2], x),
    "complex": lambda x: complex(x[0]),
    "ag.arange": lambda x: ag.arange(0, x[2]),
    "ag.linspace": lambda x: ag.linspace(0, x[2], 3),
    "ag.tensor of a list": lambda x: ag.tensor([1.0, x[0]]),
    "ag.tensor of nested tuples": lambda x: ag.tensor(((0.0, 1.0), (2.0, x[1]))),
    "ag.asarray of a list": lambda x: ag.asarray([[1.0], [x[0]]]),
    "ag.full of a list": lambda x: ag.full(2, [1.0, x[0]]),
    "an operation with a list": lambda x: x * [1.0, 2.0, x[0]],
    "ag.where with a list": lambda x: ag.where(x > 1, [1.0, 2.0, x[0]], 0.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_tensor_that_requires_a_gradient_is_refused_by(name):
    with pytest.raises(TypeError, match=r"detach\(\)|item\(\)"):
        REFUSED[name](tracked())
    with pytest.raises(TypeError, match=r"detach\(\)|item\(\)"):
        ag.grad(lambda x: (REFUSED[name](x), x.sum())[1])(np.array([1.0, 2.0, 4.0]))


@pytest.mark.parametrize("name", [n for n in REFUSED if n.startswith(("np.", "scipy."))])
def test_without_recording_or_gradient_the_same_call_converts(name):
    with ag.no_grad():
        REFUSED[name](tracked())


def test_norm_logpdf_of_a_tensor_refuses_instead_of_losing_the_gradient():
    with pytest.raises(
        TypeError, match=r"^scipy\.stats\.norm\.logpdf .*float64.* line \d+ of test_values_that_leave"
    ):
        ag.grad(lambda x: scipy.stats.norm.logpdf(x) + x)(np.float64(1.0))


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda x: np.mean([x, x]), "use ag.mean"),
        (lambda x: scipy.special.logsumexp(x), "use ag.logsumexp"),
        (lambda x: scipy.special.expit(x), "use ag.sigmoid"),
        (lambda x: np.r_[x, x], "use ag.concat"),
        (lambda x: np.array([x[0], x[1]]), r"use ag.stack\(\[...\]\)"),
        (lambda x: scipy.linalg.det(x.reshape(3, 1) * x), "use ag.linalg.det"),
        (lambda x: ag.tensor([x[0]]), r"ag.tensor: .*ag.stack\(\[...\]\)"),
    ],
)
def test_the_message_says_what_to_use_instead(call, instead):
    with pytest.raises(TypeError, match=instead):
        call(tracked())


WRITES = {
    "z[0] = t": lambda z, x: z.__setitem__(0, x[0]),
    "z[:] = t": lambda z, x: z.__setitem__(slice(None), x),
    "z[[0, 1]] = t": lambda z, x: z.__setitem__([0, 1], x[:2]),
    "z.flat[0] = t": lambda z, x: z.flat.__setitem__(0, x[0]),
    "z.fill": lambda z, x: z.fill(x[0]),
    "np.copyto": lambda z, x: np.copyto(z, x),
    "np.put": lambda z, x: np.put(z, [0], x[0]),
    "np.putmask": lambda z, x: np.putmask(z, [True] * 3, x),
    "np.put_along_axis": lambda z, x: np.put_along_axis(z, np.array([0]), x[:1], 0),
    "np.add.at": lambda z, x: np.add.at(z, [0, 1, 2], x),
    "out=": lambda z, x: np.exp(x, out=z),
    "np.fromiter": lambda z, x: np.fromiter(list(x), float),
}


@pytest.mark.parametrize("name", WRITES)
def test_an_ndarray_does_not_take_a_tensor_that_requires_a_gradient(name):
    z = np.zeros(3)
    with pytest.raises((TypeError, ValueError)):
        WRITES[name](z, tracked())
    assert z.tolist() == [0.0, 0.0, 0.0]


def test_an_assignment_into_an_ndarray_says_how_to_record_it():
    z, x = np.zeros(3), tracked()
    with pytest.raises(ValueError, match="sequence") as caught:  # NumPy's own words; ours are its cause
        z[0] = x[0]
    assert "z = ag.asarray(z)" in str(caught.value.__cause__)
    with pytest.raises(TypeError, match=r"z = ag.asarray\(z\)"):
        z[:] = x
    z = np.zeros(3, complex)
    with pytest.raises(TypeError, match=r"z = ag.asarray\(z\)"):
        z[0] = x[0]


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize(
    "write",
    [
        lambda t: np.add.at(t, [0], 9.0),
        lambda t: np.multiply.at(t, [0], 9.0),
        lambda t: np.copyto(t, np.zeros(3)),
        lambda t: np.put(t, [0], 9.0),
        lambda t: np.place(t, [True, False, True], [7.0, 8.0]),
        lambda t: np.putmask(t, [True] * 3, 9.0),
        lambda t: np.put_along_axis(t, np.array([0]), 9.0, 0),
        lambda t: np.exp(np.zeros(3), out=t),
        lambda t: np.exp(np.zeros(3), t),
        lambda t: np.fill_diagonal(t.reshape(1, 3), 9.0),
        lambda t: np.median(np.zeros((2, 3)), axis=0, out=t),
        lambda t: np.add.reduce(np.ones((2, 3)), axis=0, out=t),
    ],
)
def test_numpy_does_not_write_over_a_tensor(write, requires_grad):
    x = ag.tensor([1.0, 2.0, 4.0], requires_grad=requires_grad)
    y = x * 1.0
    with pytest.raises(TypeError, match=r"t\[index\] = value"):
        write(y)
    assert y.tolist() == [1.0, 2.0, 4.0]


def test_the_explicit_ways_out_stay_open():
    x = tracked()
    assert x.numpy().tolist() == x.tolist() == np.asarray(x.detach()).tolist() == [1.0, 2.0, 4.0]
    assert x[0].item() == float(x[0]) == 1.0
    with ag.no_grad():
        assert np.asarray(x).tolist() == [1.0, 2.0, 4.0]
        assert scipy.special.logsumexp(x) == pytest.approx(4.169846)


@pytest.mark.parametrize("function", [np.argmax, np.shape, np.isnan, np.array2string, np.result_type])
def test_numpy_functions_without_a_derivative_take_tensors(function):
    assert np.zeros_like(tracked()).tolist() == [0.0, 0.0, 0.0]
    assert ag.grad(lambda x: (np.ones_like(x) * x).sum())(np.ones(2)).tolist() == [1.0, 1.0]
    function(tracked())
    assert np.allclose(tracked(), [1.0, 2.0, 4.0])
    assert np.searchsorted(tracked(), 2.0) == 1


TRANSFORMS = {
    "grad": lambda f: ag.grad(f),
    "value_and_grad": lambda f: ag.value_and_grad(f),
    "jacobian": lambda f: ag.jacobian(f),
    "hessian": lambda f: ag.hessian(f),
    "vjp": lambda f: lambda x: ag.vjp(f, x),
    "jvp": lambda f: lambda x: ag.jvp(f, (x,), (x,)),
    "hvp": lambda f: lambda x: ag.hvp(f, (x,), (x,)),
    "checkpoint": lambda f: lambda x: ag.checkpoint(f)(ag.tensor(x, requires_grad=True)),
    "check_grads": lambda f: lambda x: ag.check_grads(f, (x,)),
}


@pytest.mark.parametrize("number", [float, math.sin, math.exp, complex])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_differentiated_function_may_not_take_a_python_float_of_a_tensor(transform, number):
    def f(x):
        return x.sum() * number(x[0]).real

    with pytest.raises(TypeError, match="would be lost"):
        TRANSFORMS[transform](f)(np.array([1.0, 2.0]))


@pytest.mark.parametrize("transform", ["grad", "jacobian", "hessian", "vjp", "checkpoint"])
def test_a_differentiated_function_may_print_and_branch(transform):
    def f(x):
        shown = f"{x[0]:.3f} {x}", "%.2f" % x[0], "{:g}".format(x[1]), repr(x), str(x)  # noqa: UP031, UP032
        if x[0] > 0 and int(x[1]) == 2 and x[0].item() == 1.0 and shown:
            return (x * x).sum()
        return x.sum()

    TRANSFORMS[transform](f)(np.array([1.0, 2.0]))
    assert ag.grad(f)(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]


def test_float_of_a_loss_stays_allowed_in_a_training_loop():
    loss = (tracked() ** 2).sum()
    assert float(loss) == 21.0
    assert math.isfinite(loss)
    assert "%.1f" % loss == f"{loss:.1f}" == "21.0"  # noqa: UP031
    loss.backward()


def test_float_of_a_tensor_outside_of_the_derivative_is_allowed_in_a_differentiated_function():
    scale = ag.tensor(3.0)
    assert ag.grad(lambda x: x * float(scale))(2.0).item() == 3.0
    assert ag.grad(lambda x: x * float(ag.no_grad(lambda: x * 1)()))(2.0).item() == 2.0


def test_a_rule_written_with_scipy_serves_first_derivatives_and_refuses_second_ones():
    @ag.primitive
    def log_density(x):
        return scipy.stats.norm.logpdf(x)

    log_density.defvjp(lambda g, x: g * -np.asarray(x))
    x = np.array([1.0, 2.0])
    assert ag.grad(lambda v: log_density(v).sum())(x).tolist() == [-1.0, -2.0]
    assert ag.jvp(log_density, (x,), (np.ones(2),))[1].tolist() == [-1.0, -2.0]
    assert ag.jacobian(log_density)(x).tolist() == [[-1.0, 0.0], [0.0, -2.0]]
    with pytest.raises(TypeError, match=r"log_density, derivative for x: np.asarray is not an operation"):
        ag.hessian(lambda v: log_density(v).sum())(x)
