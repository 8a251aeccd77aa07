"""What a process of ours loads before it answers, and that it ends: asked of fresh interpreters."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.integration]


def test_an_interrupted_command_does_not_wait_for_threads_that_do_not_end() -> None:
    code = (
        "import sys, threading; from flows import cli; import pullbench.cli.commands.stored as stored\n"
        "def interrupted(**_):\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    raise KeyboardInterrupt\n"
        "stored.list_runs = interrupted; sys.argv = ['pullbench', 'runs']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (3, "pullbench: interrupted\n")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flows import cli; "
        "print(sorted({'prefect', 'pydantic', 'docker', 'httpx', 'pandas', 'pycurl', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_no_flow_answers_without_prefect() -> None:
    code = "import sys; import pullbench.cli.commands.check, pullbench.cli.commands.stored; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_preflight_waits_for_no_library_that_only_reports_need() -> None:
    code = (
        "import sys; import pullbench.cli.commands.check; print({'pandas', 'scipy', 'matplotlib'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
