"""NIST's 27 certified nonlinear problems, solved on the engine's Jacobian. `python tests/nist.py` prints the table."""

import nist
import numpy as np
import pytest

# 11 digits are certified, so rounding alone leaves 10.3. All 54 starts reach 10.2; there are no exceptions.
DIGITS = 10


def test_every_file_has_a_model_and_every_model_a_file():
    assert sorted(nist.MODELS) == sorted(path.stem for path in nist.FOLDER.glob("*.dat"))
    assert len(nist.MODELS) == 27


@pytest.mark.parametrize("name", nist.MODELS)
def test_the_certified_parameters_give_the_certified_sum_of_squares(name):
    """The data are read and the model is written as NIST has them."""
    problem = nist.read(name)
    residual = np.asarray(nist.residuals(problem)(problem.certified))
    # Lanczos1 fits its 14 digits of data: the residuals are what rounding of the parameters leaves.
    tolerance = {"rel": 1e-3, "abs": 1e-20} if name == "Lanczos1" else {"rel": 1e-7}
    assert residual @ residual == pytest.approx(problem.residual_sum_of_squares, **tolerance)
    # Not from the degrees of freedom in the head: Rat43's says 9, but 15 observations less 4 parameters are 11.
    freedom = residual.size - problem.certified.size
    deviation = np.sqrt(problem.residual_sum_of_squares / freedom)
    assert deviation == pytest.approx(problem.residual_deviation, rel=1e-9)


@pytest.mark.parametrize("name", nist.MODELS)
def test_both_starts_lead_to_the_certified_parameters_and_deviations(name):
    problem, solutions = nist.solve(name)
    line = nist.report(problem, solutions)
    print(nist.TITLE, line, sep="\n")
    for solution in solutions:
        assert nist.agreeing_digits(solution.parameters, problem.certified) >= DIGITS, line
        if name != "Lanczos1":  # whose deviations are of the size of the data's last digit
            assert solution.sum_of_squares == pytest.approx(problem.residual_sum_of_squares, rel=1e-9)
            assert nist.agreeing_digits(nist.deviations(problem, solution), problem.deviations) >= 7, line
