"""The command line: finds the command, runs it, and turns errors into one line and an exit code.

Exit codes: 0 done; 1 a check failed or an SLO was missed; 2 usage or spec; 3 incomplete, what was measured is stored;
70 a bug. A command is a module of this package with its name, loaded when the command is run; its `app` has the options
and the body, which returns the exit code. What its --help need not wait for, such as pandas, it imports in its functions.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from pullbench import __version__
from pullbench.cli.commands import COMMANDS, FIRST_EXAMPLES, GROUPS, examples_of
from pullbench.cli.terminal import interruption, streams
from pullbench.cli.terminal.safe_text import print_notice
from pullbench.cli.wrong_call import wording
from pullbench.errors import IncompleteError, InterruptedRunError, PullbenchError, UsageError

_WRONG_CALL: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for a missing argument, an unknown option or command; it has no public name."""
COMPLETE = "_PULLBENCH_COMPLETE"
"""The variable by which the script of `pullbench completion` asks; typer names it so."""
_NO_ARGUMENTS = "NoArgsIsHelpError"
_TYPER_INTERRUPTED = 130
_exit = os._exit


class LazyCommands(TyperGroup):
    """The commands of COMMANDS. Help lists them from there; a command's module is imported when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update(
            {name: TyperCommand(name, help=listed.line, short_help=listed.line) for name, listed in COMMANDS.items()}
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else self.load(name), rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        width = max(len(name) for name in COMMANDS)
        for group in GROUPS:
            with formatter.section(group):
                rows = [(name.ljust(width), each.line) for name, each in COMMANDS.items() if each.group == group]
                formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(FIRST_EXAMPLES, ctx, formatter)
        formatter.write("\nHelp for one command: pullbench COMMAND --help\n")

    @staticmethod
    def load(name: str) -> Any:
        """The command with its options, or the group of commands; its help ends with its examples."""
        command: Any = typer.main.get_command(import_module(f"pullbench.cli.{name}").app)
        command.format_epilog = partial(_write_examples, examples_of([name]))
        for word, each in getattr(command, "commands", {}).items():
            each.format_epilog = partial(_write_examples, examples_of([name, word]))
        return command


def _write_examples(examples: Sequence[str], _context: Any, formatter: Any) -> None:
    if examples:
        formatter.write("\nExamples:\n")
        formatter.write("".join(f"  {example}\n" for example in examples))


app = typer.Typer(
    name="pullbench",
    cls=LazyCommands,
    help="Is this container registry ready, how fast do images really pull from it, and did it get worse?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"pullbench {__version__}")
        raise typer.Exit


def main() -> NoReturn:
    """Run a command; never a traceback for a user's mistake."""
    if os.environ.get(COMPLETE):
        _complete()
    interruption.listen()
    streams.guard()
    try:
        with interruption.as_keyboard_interrupt():
            code = typer.main.get_command(app).main(prog_name="pullbench", standalone_mode=False)
    except _WRONG_CALL as error:
        if type(error).__name__ == _NO_ARGUMENTS:  # its text is the help
            typer.echo(str(error), err=True)
            _leave(UsageError.exit_code)
        _fail(wording(error), UsageError.exit_code)
    except InterruptedRunError as error:
        _end_at_once(str(error))
    except PullbenchError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _end_at_once("interrupted")
    except Exception as error:  # noqa: BLE001  (the last line of defence)
        if os.environ.get("PULLBENCH_DEBUG"):
            traceback.print_exc()
        _fail(f"a bug of pullbench: {type(error).__name__}: {error}; PULLBENCH_DEBUG=1 shows where it happened", 70)
    if code == _TYPER_INTERRUPTED:
        _end_at_once("interrupted")
    _leave(code if isinstance(code, int) else 0)


def _complete() -> NoReturn:
    """Answer a shell that asks what may follow; a line that no command understands has no answer."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()
    with contextlib.suppress(Exception):
        typer.main.get_command(app).main(prog_name="pullbench", standalone_mode=False)
    sys.exit(0)


def _end_at_once(text: str) -> NoReturn:
    print_notice(text)
    interruption.hurry(text)
    _leave(InterruptedRunError.exit_code)


def _fail(text: str, code: int) -> NoReturn:
    if text:  # of a call without a command there is none: its help was shown
        print_notice(text)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End; where there is hurry, without the interpreter's own end, which waits for threads of libraries, some without a limit.

    What is to be kept is on the disk by now, and child processes end with their lifelines.
    """
    if unwritten := streams.finish():
        print_notice(f"what was printed is not whole: {unwritten}")
        code = code or IncompleteError.exit_code
    if not interruption.hurried():
        interruption.done(code)
        sys.exit(code)
    _exit(code)
    raise AssertionError("unreachable")
