"""The engine that docs/add-an-engine.md builds does pull: its code is read from the page."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pullbench.engines.base import PullOutcome, SystemClock
from pullbench.engines.command.engine import CommandEngine
from pullbench.errors import ErrorCode
from pullbench.model import capability
from pullbench.model.spec import EngineEntry
from tests.engines.command_world import KEYCHAIN, Image, put_script, setup

PAGE = Path(__file__).parents[2] / "docs" / "add-an-engine.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
IMAGE = Image()
BRING = 'echo "$@" > {notes}/arguments; env > {notes}/env; cp config.json {notes} 2> /dev/null; cp -r {layout} "$last"'


def pull(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **route: Any) -> PullOutcome:
    """By the page's engine, with a script in its client's place."""
    layout = IMAGE.layout(tmp_path / "layout")
    script = script.replace("{layout}", str(layout)).replace("{notes}", str(tmp_path))
    put_script(tmp_path / "bin", "crane", f"for last; do :; done; cd $HOME; {script}", monkeypatch)
    module = ModuleType("crane")
    exec(compile(BLOCKS[0], PAGE.name, "exec"), module.__dict__)
    engine: CommandEngine = module.CraneEngine(
        EngineEntry(name="crane", kind="skopeo"), keychain=KEYCHAIN, clock=SystemClock()
    )
    request = IMAGE.request(**route)
    try:
        assert engine.facts().unavailable is None
        engine.open_trial(setup(request))
        return engine.pull(request).verified()
    finally:
        engine.close()


def test_it_brings_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = pull(BRING, tmp_path, monkeypatch)
    assert outcome.ok, outcome.error
    assert (outcome.bytes, outcome.layers, outcome.layers_cached) == (IMAGE.manifest.size_bytes, 2, 0)
    assert "--platform=linux/amd64 --insecure 127.0.0.1:5000/app@sha256:" in (tmp_path / "arguments").read_text()
    assert "PROXY=" not in (tmp_path / "env").read_text()


def test_its_login_is_in_a_file_and_its_proxy_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"proxy": "squid", "forward_url": "http://127.0.0.1:3128", "forward_credentials": "env:ME"}
    outcome = pull(BRING, tmp_path, monkeypatch, url="https://r.example.com", credentials="env:ME", **proxy)
    assert outcome.ok, outcome.error
    assert "--insecure" not in (tmp_path / "arguments").read_text()
    assert "s3cret-password" not in (tmp_path / "arguments").read_text()
    assert "HTTPS_PROXY=http://somebody:s3cret-password@127.0.0.1:3128" in (tmp_path / "env").read_text()
    assert "r.example.com" in (tmp_path / "config.json").read_text()


def test_its_words_become_a_code_and_a_layout_without_an_image_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "Error: GET https://r.io/v2/app/manifests/1: MANIFEST_UNKNOWN: manifest unknown"
    said = pull(f'[ "$1" = version ] || {{ echo "{words}" >&2; exit 1; }}', tmp_path / "a", monkeypatch)
    assert said.error_code is ErrorCode.NOT_FOUND
    empty = pull("true", tmp_path / "b", monkeypatch)
    assert empty.error_code is ErrorCode.DIGEST_MISMATCH


def test_the_pages_entry_is_one_of_the_table() -> None:
    (entry,) = [block for block in BLOCKS if "Capability(" in block]
    made = eval(f"{{{entry}}}", dict(vars(capability)))
    assert isinstance(made["crane"], capability.Capability)
