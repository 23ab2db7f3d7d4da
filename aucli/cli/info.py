"""``aucli info``: what a bug report or a methods section needs to say about the installation."""

import platform
import textwrap
from importlib import metadata
from typing import Any

from aucli.cli.command import examples

PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "safetensors", "pillow", "typer", "rich")
DECODERS = {"decord": "decord2", "pyav": "av"}
WIDTH = 80  # of a terminal, and of a mail
EXTRAS = ("moderngl", "scipy", "scikit-image")

EXAMPLES = examples(
    "aucli info > info.txt",
)


def info() -> None:
    """Show versions, decoders, the device, and the weights on this machine."""
    from aucli.version import version

    _show("aucli", version())
    _show("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})")
    for name in (*PACKAGES, *EXTRAS):
        _show(name, _version(name))
    for decoder, package in DECODERS.items():
        _show("decoder", f"{decoder}: {package} {_version(package)}")
    _show("device", _device())
    for line in _weights() or ["none found"]:
        _show("weights", line)


def _show(name: str, text: str) -> None:
    print(textwrap.fill(f"{name:13} {text}", WIDTH, subsequent_indent=" " * 14))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    import torch

    threads = f"{torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; cpu: {threads}"
    return f"cpu: {threads}"


def _weights() -> list[str]:
    """One line for each network on this machine: name, kind, size, sha256, where it came from."""
    from aucli.errors import WeightsError
    from aucli.weights import store

    lines = []
    for name in (*store.list_embedded(), *store.list_cached()):
        stem = store.find(name)
        assert stem is not None
        card = store.read_card_file(store.card_file(stem))
        try:
            store.read_checked(store.tensors_file(stem), card)
            state = ""
        except WeightsError:
            state = " (NOT the file that its card describes)"
        source = _one_line(card.get("provenance", "provenance not recorded"))
        size = f"{card['bytes'] / 1e6:.1f} MB"
        sha256 = f"sha256 {card['sha256'][:12]}..."
        lines.append(f"{name}: {card['kind']}, {size}, {sha256}{state}, {source}")
    return lines


def _one_line(provenance: Any) -> str:
    if isinstance(provenance, dict):
        plain = {k: v for k, v in provenance.items() if not isinstance(v, dict | list)}
        return "; ".join(f"{key}: {value}" for key, value in plain.items())
    return str(provenance)
