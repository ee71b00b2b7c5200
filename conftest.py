"""One environment for all tests and for every kernel that nbval starts; and a word on the browser
test at the end.
"""

import os
import pathlib
import sys

import pytest

from rsnl_lib.workbook import render

TESTS = pathlib.Path(__file__).parent / "tests"
sys.path[:0] = [str(TESTS / room) for room in ("whole", "strength", "study", "workbook")]
import rounding  # noqa: E402

render.fix_environment()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """A module's tests run on one thread, as the library's commands do (tests/whole/kernels.py
    asks for two).
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    yield
    torch.set_num_threads(threads)


def pytest_configure(config):
    """nbval's options stand here, so that `pytest --nbval` means the same from any folder."""
    if hasattr(config.option, "nbval_current_env"):
        config.option.nbval_current_env = True
        config.option.nbval_sanitize_with = str(TESTS / "whole" / "nbval_sanitize.cfg")
        config.option.nbval_cell_timeout = 300
        config.option.nbval_kernel_startup_timeout = 120
        from nbval.plugin import IPyNbCell

        IPyNbCell.compare_outputs = rounding.forgiving(IPyNbCell.compare_outputs)


def pytest_terminal_summary(terminalreporter):
    """Say whether a browser was used, and what it measured."""
    word, said = "skipped, not among the tests chosen", []
    for outcome in ("skipped", "passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if "browser" in getattr(report, "keywords", {}):
                if outcome == "skipped":
                    word = "skipped, " + report.longrepr[2].removeprefix("Skipped: ")
                else:
                    said += [
                        f"{k}: {v}" for k, v in report.user_properties if f"{k}: {v}" not in said
                    ]
                    word = "; ".join(["ran", *said])
    terminalreporter.line("")
    terminalreporter.line(f"browser: {word}")
