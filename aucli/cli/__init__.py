"""The command line: one thin file per command.

A command file imports only typer and floor 0 at module level and everything heavy inside its
function, so that ``aucli --help`` answers at once. Results go to stdout, all else to stderr.
Exit codes: 0 all done, 1 some input failed, 2 usage, 130 interrupted.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from aucli.cli import (
    analyze,
    bench,
    compare,
    convert,
    evaluate,
    events,
    info,
    methods,
    overlay,
    plot,
    prepare,
    report,
    settings,
    stopping,
    summarize,
    synth,
    train,
    weights,
)
from aucli.cli.command import HELP, Command, examples
from aucli.errors import AucliError, OptionError, as_memory_lack


class _Commands(TyperGroup):
    """The one place where errors that a user can cause become exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OptionError as error:
            raise typer.BadParameter(str(error)) from error
        except AucliError as error:
            _tell(error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            print("aucli: interrupted", file=sys.stderr)
            raise typer.Exit(130) from error
        except Exception as error:
            lack = as_memory_lack(error)
            if lack is None:
                raise
            _tell(lack)
            raise typer.Exit(1) from error


def _tell(error: AucliError) -> None:
    from aucli.cli.console import note

    note(f"aucli: {error}")


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    context_settings=HELP,
    epilog=examples(
        "aucli analyze clip.mp4",
        "aucli analyze study/ -o tables/ --report",
        "aucli analyze --help",
    ),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        from aucli.version import version

        print(f"aucli {version()}")
        raise typer.Exit()


@app.callback()
def _options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take options that are not given from FILE, which has a table for each command. "
            "Default: aucli.toml of the current folder, where there is one.",
        ),
    ] = None,
    no_config: Annotated[bool, typer.Option("--no-config", help="Do not read aucli.toml.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Facial Action Unit intensities, frame by frame, from videos."""
    ctx.obj = settings.find_file(config, no_config)  # Command reads it


def _add(command: Callable[..., None], examples: str, name: str | None = None) -> None:
    app.command(name, cls=Command, epilog=examples)(command)


_add(analyze.analyze, analyze.EXAMPLES)
_add(summarize.summarize, summarize.EXAMPLES)
_add(events.events, events.EXAMPLES)
_add(convert.convert, convert.EXAMPLES)
_add(plot.plot, plot.EXAMPLES)
_add(methods.methods, methods.EXAMPLES)
_add(report.report, report.EXAMPLES)
_add(compare.compare, compare.EXAMPLES)
_add(overlay.overlay, overlay.EXAMPLES)
_add(prepare.prepare, prepare.EXAMPLES)
_add(train.train, train.EXAMPLES)
_add(evaluate.evaluate, evaluate.EXAMPLES, "eval")
_add(synth.synth, synth.EXAMPLES)
_add(bench.bench, bench.EXAMPLES)
_add(info.info, info.EXAMPLES)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """The command line, with its signals."""
    stopping.listen()
    app(prog_name="aucli")
