"""Two notebooks that compute much come out the same under other kernels; all of them: python
tests/whole/kernels.py.
"""

import kernels
import pytest


@pytest.mark.parametrize("name", ["sse", "noise"])
def test_notebooks_keep_a_margin_to_their_last_digits(name):
    code, said = kernels.run(name, ["notebooks/08_boundary.ipynb", "notebooks/02_losses.ipynb"])
    assert code == 0, said[-3000:]


def test_the_noise_reaches_the_kernels_of_the_notebooks(tmp_path):
    """A test that could not fail would shake nothing."""
    import subprocess
    import sys

    code = (
        kernels.NOISE + "\nx = torch.ones(1, 1, 4, 4)\nprint(float(F.conv2d(x, x).sub(16).abs()),"
        " float(F.linear(torch.ones(1, 3), torch.ones(1, 3)).sub(3).abs()))"
    )
    env = {"RSNL_NOISE": "1e-3", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    moved = [float(v) for v in said.stdout.split()]
    assert len(moved) == 2 and all(0 < v <= 16e-3 * 1.01 for v in moved), said
