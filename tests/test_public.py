"""The public face: misspelt and renamed keywords, renamed functions."""

import inspect
import pickle

import pytest

from xdpl.errors import DeclarationError
from xdpl.public import did_you_mean, public, renamed, unknown_keyword


@public(truth="true_model")
def run(ds, obs=None, *, epochs=1, true_model=False):
    """Run it."""
    return ds, obs, epochs, true_model


class Fitted:
    @public()
    def mixed_effects(self, ds):
        """Map them."""
        return self, ds

    parts = renamed("Fit.parts", mixed_effects)


def test_the_signature_is_the_written_one():
    assert list(inspect.signature(run).parameters) == ["ds", "obs", "epochs", "true_model"]
    assert run.__doc__ == "Run it."
    assert run(1, "q", epochs=3) == (1, "q", 3, False)
    assert pickle.loads(pickle.dumps(run)) is run


def test_a_misspelt_keyword_is_refused_with_a_proposal():
    with pytest.raises(TypeError, match="run has no keyword 'epocs'. Did you mean 'epochs'?"):
        run(1, epocs=3)
    with pytest.raises(DeclarationError, match="It has obs, epochs, true_model"):
        run(1, nonsense=3)
    message = str(unknown_keyword("fit", "lr", ["epochs", "learning_rate"]))
    assert message.startswith("fit has no keyword 'lr'. Did you mean 'learning_rate'? It has")
    assert "mean" not in str(unknown_keyword("fit", "lr", ["epochs", "obs"]))
    with pytest.raises(DeclarationError, match="Fitted.mixed_effects has no keyword 'dss'"):
        Fitted().mixed_effects(dss=1)


def test_an_old_keyword_works_with_a_warning():
    with pytest.warns(FutureWarning, match=r"run\(truth=...\) is now run\(true_model=...\)"):
        assert run(1, truth=True) == (1, None, 1, True)
    with pytest.raises(DeclarationError, match="both 'true_model' and 'truth'"):
        run(1, truth=True, true_model=True)


def test_an_old_function_works_with_a_warning_at_the_line_of_the_user():
    fitted = Fitted()
    with pytest.warns(FutureWarning, match="Fit.parts is now Fit.mixed_effects") as found:
        assert fitted.parts(2) == (fitted, 2)
    assert found[0].filename == __file__
    assert Fitted.parts.__name__ == "parts"
    assert Fitted.parts.__qualname__.endswith("Fitted.parts")
    assert renamed("f", run).__qualname__ == "f"


def test_a_proposal_ignores_case_and_keeps_silent_where_nothing_is_near():
    assert did_you_mean("kge", ["NSE", "KGE"]) == " Did you mean 'KGE'?"
    assert did_you_mean("zzz", ["NSE", "KGE"]) == ""
