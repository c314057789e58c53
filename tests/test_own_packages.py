"""Folders of the user's own called like objseek's packages are no harm, or are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

PACKAGES = ("pipeline", "schemas", "workers")
COMMAND = "import sys; sys.argv[0] = '/usr/bin/objseek'; import objseek; objseek.run_command()"
ON_RAY = """
import ray
from pathlib import Path
from pipeline.runners.ray_pool.session import ray_session
from schemas.options import RunnerOptions

@ray.remote
def find():
    import pipeline.runners.recipe
    return pipeline.__file__

if __name__ == "__main__":
    with ray_session(RunnerOptions(), Path("log.txt").absolute()):
        found = ray.get(find.remote())
    print(found)
"""


def python(
    folder: Path, code: str, *args: str, first: str = ""
) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, which comes first on its path, as it does by default."""
    path = os.pathsep.join(filter(None, (first, str(ROOT))))
    return subprocess.run(
        [sys.executable, "-c", code, *args], cwd=folder, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(params=PACKAGES)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A package of the user's own."""
    own = tmp_path / str(request.param)
    own.mkdir()
    (own / "__init__.py").write_text("raise SystemExit('the wrong package')")
    return own


def test_python_says_which_folder_is_in_the_way(own: Path) -> None:
    done = python(own.parent, "import objseek")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: objseek's package '{own.name}' is hidden: Python finds {own} first; call "
        "Python with -P, or in another folder, or give that one another name"
    )


def test_python_is_content_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()  # a folder of data is no package
    assert python(tmp_path, "import objseek; print(objseek.connect('x'))").stdout == "Index('x')\n"


def test_the_command_finds_its_own_packages(own: Path) -> None:
    done = python(own.parent, COMMAND, "status", "--index", "none", first=str(own.parent))
    assert done.returncode == 1
    assert done.stderr == "Error: there is no index in the folder none\n"


@pytest.mark.long
def test_ray_finds_them_too(tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(ON_RAY)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == [str(ROOT / "pipeline" / "__init__.py")], done.stderr


def test_the_command_is_the_one_that_is_tested() -> None:
    assert 'objseek = "objseek:run_command"' in (ROOT / "pyproject.toml").read_text()
