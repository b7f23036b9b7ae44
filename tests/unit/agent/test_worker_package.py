"""The worker lies under its own digest, whole, and no older one beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edgesweep_agent.worker_package import install_worker


def test_the_worker_is_written_once_and_mended(tmp_path: Path) -> None:
    run_py = install_worker(tmp_path)
    assert run_py.name == "run.py"
    package = run_py.parent / "edgesweep_worker"
    assert (package / "__main__.py").is_file()
    written = run_py.stat().st_ino
    assert install_worker(tmp_path).stat().st_ino == written
    (package / "__main__.py").write_text("rotten")
    assert install_worker(tmp_path).stat().st_ino != written
    assert (package / "__main__.py").read_text() != "rotten"


def test_older_workers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "worker" / "0123" / "edgesweep_worker").mkdir(parents=True)
    run_py = install_worker(tmp_path)
    assert [path.name for path in (tmp_path / "worker").iterdir()] == [run_py.parent.name]


def test_installing_it_imports_none_of_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgesweep_agent.worker_package import install_worker; "
        f"install_worker(Path({str(tmp_path)!r})); "
        "print([name for name in sys.modules if name.split('.')[0] in ('edgesweep_worker', 'numpy', 'onnxruntime')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
