"""Rules that every file of the package keeps, whoever adds the next one."""

import ast
import dataclasses
import importlib
import pkgutil
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

import aucli

ROOT = Path(aucli.__file__).parent


def array_dataclasses() -> Iterator[type]:
    """Dataclasses of the package with a field that holds arrays or tensors."""
    for module in pkgutil.walk_packages(aucli.__path__, "aucli."):
        if module.name == "aucli.__main__":
            continue
        for made in vars(importlib.import_module(module.name)).values():
            if not isinstance(made, type) or made.__module__ != module.name:
                continue
            if dataclasses.is_dataclass(made):
                hints = typing.get_type_hints(made)
                if any(holds_arrays(hints[field.name]) for field in dataclasses.fields(made)):
                    yield made


def holds_arrays(annotation: object) -> bool:
    if typing.get_origin(annotation) is Callable:
        return False
    if isinstance(annotation, type) and issubclass(annotation, np.ndarray | torch.Tensor):
        return True
    if typing.get_origin(annotation) is np.ndarray:  # NDArray[np.float64]
        return True
    return any(holds_arrays(part) for part in typing.get_args(annotation))


def test_dataclasses_with_arrays_are_compared_by_identity() -> None:
    """``==`` of arrays is an array, so that comparing two such records would raise."""
    found = list(array_dataclasses())
    assert len(found) > 10
    assert [made.__qualname__ for made in found if made.__eq__ is not object.__eq__] == []


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string that is no docstring; what an f-string puts in becomes {}."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node) if part is not node}
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def one_sided(text: str) -> list[str]:
    """Flags that a sentence names without the option's name in Python, outside of commands."""
    plain = re.sub(r"`[^`]*`|^(?:curl|git) .*", "", text)
    flags = re.findall(r"(?<![\w-])--([a-z][a-z-]*)", plain)
    return [f"--{flag}" for flag in flags if f"{flag.replace('-', '_')}=" not in plain]


def test_one_sided_names_are_found() -> None:
    assert one_sided("use --out") == ["--out"]
    assert one_sided("use another folder (--out, out=)") == []
    assert one_sided("run `aucli train --resume`; --match-by") == ["--match-by"]


def test_core_sentences_name_options_for_both_kinds_of_users() -> None:
    """Whoever calls from Python has no ``--out``; whoever types a command has no ``out=``."""
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] == "cli":
            continue
        for line, text in sentences(path):
            wrong += [f"{path.name}:{line}: {flag}" for flag in one_sided(text)]
    assert wrong == []
