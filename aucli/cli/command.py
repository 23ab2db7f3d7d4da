"""A command as users see it: its help, its examples, and what its options take, in plain words."""

import functools
import inspect
import re
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import ParameterInfo

from aucli.cli.settings import read_settings
from aucli.files import shown

HELP = {"help_option_names": ["-h", "--help"]}  # context settings of the program
RANGE = re.compile(r"(?:-?[\d.]+<=)?x[<>]=?-?[\d.]+")  # x>=1, 0<=x<=5: how Typer says it


def examples(*lines: str) -> str:
    """The last lines of a help: commands that can be copied."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


@dataclass(frozen=True, slots=True)
class Takes:
    """What an option or an argument takes.

    kind: bool (a switch), int, float, str or Path. names: the only possible values; empty where
    others are. least, most: limits of a number. parsed: whether a parser of its own checks it.
    """

    kind: type
    names: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    parsed: bool = False

    @property
    def sign(self) -> str:
        """What stands for the value in a usage line."""
        if self.names:
            return f"<{'|'.join(self.names)}>"
        return {int: "N", float: "X", Path: "PATH"}.get(self.kind, "TEXT")

    @property
    def words(self) -> str:
        """``a whole number, 1 or more``, ``a number from 0 to 5``, ``one of auto, pyav`` ..."""
        if self.names:
            return f"one of {', '.join(self.names)}"
        what = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
        word = what.get(self.kind, "a text")
        if self.least is not None and self.most is not None:
            return f"{word} from {self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"{word}, {self.least:g} or more"
        return word if self.most is None else f"{word}, {self.most:g} or less"


class Command(TyperCommand):
    """A command whose help and complaints are in words, where Typer's are in types."""

    @functools.cached_property
    def takes(self) -> dict[str, Takes]:
        """What each parameter takes, by its name in Python."""
        assert self.callback is not None
        hints = get_type_hints(inspect.unwrap(self.callback), include_extras=True)
        return {name: _takes(hint) for name, hint in hints.items() if name != "return"}

    def value(self, parameter: Any) -> str:
        """What stands for the value of a parameter: ``INPUT...``, ``N``, ``<csv|jsonl>``."""
        if parameter.param_type_name == "argument":
            name = (parameter.metavar or parameter.name).upper()
            name += "..." if parameter.nargs == -1 else ""
            return name if parameter.required else f"[{name}]"
        return parameter.metavar or self.takes[parameter.name].sign

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [p for p in self.params if p.param_type_name == "argument"]
        return [self.options_metavar or "", *map(self.value, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                rows[parameter.param_type_name].append(self._in_words(parameter, *record))
        for title, own in (("Arguments", rows["argument"]), ("Options", rows["option"])):
            if own:
                with formatter.section(title):
                    formatter.write_dl(own)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # A mistake in the file of settings must not hide the help.
        if ctx.obj is not None and not set(args) & set(ctx.help_option_names):
            tables = read_settings(ctx.obj, ctx.find_root().command)
            ctx.default_map = functools.reduce(lambda t, name: t.get(name, {}), _names(ctx), tables)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.param in from_file(ctx):
                said = f"{shown(ctx.obj)}: {error.message}"
                raise typer.BadParameter(said, ctx, error.param) from None
            takes = self.takes.get(getattr(error.param, "name", ""))
            if takes is None or takes.parsed or type(error) is not typer.BadParameter:
                raise
            if not takes.names and takes.kind not in (int, float):
                raise
            raise typer.BadParameter(f"give {takes.words}.", ctx, error.param) from None
        except Exception as error:
            name = getattr(error, "option_name", None)
            if name not in ("--config", "--no-config"):
                raise
            said = f"it stands before the command: aucli {name} ... {' '.join(_names(ctx))}"
            raise typer.BadParameter(said, ctx, param_hint=name) from None

    def invoke(self, ctx: Any) -> Any:
        taken = from_file(ctx)
        if taken and not ctx.params.get("quiet"):
            from aucli.cli.console import note

            note(f"{ctx.obj} sets {', '.join(_as_typed(ctx, each) for each in taken)}.")
        self._refuse_urls(ctx)
        return super().invoke(ctx)

    def _refuse_urls(self, ctx: Any) -> None:
        """A usage error where a file of this computer is to be named, and a URL is."""
        parameters: Any = self.params
        for parameter in parameters:
            value = ctx.params.get(parameter.name)
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Path) and ":" in str(each):
                    from aucli.pipeline.urls import url_words

                    if words := url_words(each):
                        raise typer.BadParameter(words, ctx, parameter)

    def _in_words(self, parameter: Any, names: str, help: str) -> tuple[str, str]:
        """A line of the help, from Typer's."""
        takes = self.takes.get(parameter.name)
        if takes is None:  # --help
            return names, help
        if parameter.param_type_name == "argument":
            names = self.value(parameter).strip("[]")
        elif not parameter.is_flag:
            names = names.partition(" <")[0].removesuffix(f" {parameter.metavar}")
            names = f"{names} {self.value(parameter)}"
        return names, RANGE.sub(takes.words, help)


def _names(ctx: Any) -> list[str]:
    """``[weights, pull]``: the words of a command behind the program's name."""
    return [] if ctx.parent is None else [*_names(ctx.parent), ctx.info_name]


def from_file(ctx: Any) -> list[Any]:
    """The options of a command whose values are those of the file of settings."""
    sources = [ctx.get_parameter_source(each.name) for each in ctx.command.params]
    return [
        option
        for option, source in zip(ctx.command.params, sources, strict=True)
        if source is not None and source.name == "DEFAULT_MAP"
    ]


def _as_typed(ctx: Any, option: Any) -> str:
    """``--faces all``, ``--sides``: a setting of the file as the command line would say it."""
    name = max(option.opts, key=len)
    value = ctx.default_map[option.name]
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value}"


def _takes(hint: Any) -> Takes:
    info = ParameterInfo()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        info = next((extra for extra in extras if isinstance(extra, ParameterInfo)), info)
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not types.NoneType)
    if get_origin(hint) is list:
        (hint,) = get_args(hint)
    parsed = info.parser is not None
    if get_origin(hint) is Literal:
        return Takes(str, get_args(hint))
    # A parser reads a text, whatever comes of it.
    return Takes(str if parsed else hint, (), info.min, info.max, parsed)
