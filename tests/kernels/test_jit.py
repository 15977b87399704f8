import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipcache.kernels.jit import interpreted

MODULE = """
from clipcache.kernels.jit import kernel

@kernel
def double(x: float) -> float:
    return 2 * x

assert double(1.5) == 3
"""


@pytest.mark.skipif(interpreted(), reason="nothing is compiled")
@pytest.mark.parametrize("given", [True, False])
def test_machine_code_is_kept_but_not_beside_the_code(tmp_path: Path, given: bool) -> None:
    """What pip did not bring, it would not take away: an empty package would stay behind."""
    code, home, wanted = (tmp_path / name for name in ("code", "home", "wanted"))
    code.mkdir()
    (code / "mine.py").write_text(MODULE)
    environment = {k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"}
    environment |= {"HOME": str(home), "NUMBA_CACHE_DIR": str(wanted) if given else ""}
    subprocess.run([sys.executable, "-c", "import mine"], cwd=code, env=environment, check=True)
    assert not list(code.rglob("*.nb?"))
    assert list((wanted if given else home).rglob("*.nbi"))
