"""A journal belongs to weights and code: after a change of the calibration in code nothing old is reused."""

from importlib import import_module

from training.evaluation.journal import forecaster_key

MODULE = "forecaster_of_a_test"
SOURCE = """
class Own:
    def __init__(self, weights):
        self.card = {"sha256": weights}
"""


def test_weights_and_code_make_the_key(tmp_path, monkeypatch):
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    calibration = tmp_path / "calibration.py"
    calibration.write_text("CUT = 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = import_module(MODULE).Own
    key = forecaster_key(own("a"))
    assert forecaster_key(own("a")) == key
    assert forecaster_key(own("b")) != key
    calibration.write_text("CUT = 0.2\n")
    assert forecaster_key(own("a")) != key
