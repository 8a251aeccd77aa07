"""What a process of ours loads before it answers, and that it ends: asked of fresh interpreters."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration]


def test_an_interrupted_command_does_not_wait_for_threads_that_do_not_end() -> None:
    code = (
        "import sys, threading; from pullbench.cli import main; from pullbench.store.dataset import ResultStore\n"
        "def interrupted(*_):\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    raise KeyboardInterrupt\n"
        "ResultStore.runs = interrupted; sys.argv = ['pullbench', 'runs']; main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (3, "pullbench: interrupted\n")


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def test_no_commands_help_imports_anything_heavy() -> None:
    code = (
        "from pullbench.cli.main import COMMANDS, LazyCommands\n"
        "for name in COMMANDS: LazyCommands.load(name)\n"
        "print(sorted({'prefect', 'pydantic', 'docker', 'httpx', 'pandas', 'pyarrow', 'pycurl', 'numpy'} & set(sys.modules)))"
    )
    assert printed(code) == "[]"


def test_a_command_imports_no_other_and_what_is_no_flow_answers_without_prefect(tmp_path: Path) -> None:
    code = (
        f"sys.argv = ['pullbench', 'runs', '--json', '--results', {str(tmp_path)!r}]\n"
        "from pullbench.cli import main\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in main.COMMANDS if f'pullbench.cli.{name}' in sys.modules), 'prefect' in sys.modules)"
    )
    assert printed(code) == "['runs'] False"


def test_preflight_waits_for_no_library_that_only_reports_need() -> None:
    code = (
        "import pullbench.app.preflight, pullbench.cli.preflight, pullbench.cli.terminal.findings\n"
        "print({'pandas', 'scipy', 'matplotlib'} & sys.modules.keys())"
    )
    assert printed(code) == "set()"


def test_the_console_loads_no_pandas() -> None:
    code = "import sys; import pullbench.cli.terminal.console; print(sorted({'pandas', 'pyarrow', 'prefect'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_making_one_kind_imports_no_other_kinds_library() -> None:
    script = (
        "import sys; from pullbench.engines.catalog import make_engine; "
        "assert 'pycurl' not in sys.modules and 'docker' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
