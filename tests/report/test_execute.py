"""The kernel of a report: reached by nobody else, and by no other report."""

from pathlib import Path

import pytest

from pullbench.report.render.execute import ThisKernel


def test_the_sockets_of_two_reports_are_in_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("one", "two"):
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / name))
        kernel = ThisKernel()
        found.append((kernel.transport, kernel.ip))
    assert found == [("ipc", str(tmp_path / name / "kernel")) for name in ("one", "two")]
