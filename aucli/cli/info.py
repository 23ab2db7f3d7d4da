"""``aucli info``: what a bug report or a methods section needs to say about the installation."""

import platform
from importlib import metadata
from typing import Any

import aucli

PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "safetensors", "pillow", "typer", "rich")
DECODERS = {"decord": "decord2", "pyav": "av"}
EXTRAS = ("moderngl", "scipy", "scikit-image")


def info() -> None:
    """Show versions, decoders, the device, and the weights on this machine."""
    print(f"aucli         {aucli.__version__}")
    print(f"python        {platform.python_version()} ({platform.system()} {platform.machine()})")
    for name in (*PACKAGES, *EXTRAS):
        print(f"{name:13} {_version(name)}")
    for decoder, package in DECODERS.items():
        print(f"decoder       {decoder}: {package} {_version(package)}")
    print(f"device        {_device()}")
    for line in _weights() or ["none found"]:
        print(f"weights       {line}")


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
        lines.append(f"{name}: {card['kind']}, {size}, sha256 {card['sha256']}{state}, {source}")
    return lines


def _one_line(provenance: Any) -> str:
    if isinstance(provenance, dict):
        plain = {k: v for k, v in provenance.items() if not isinstance(v, dict | list)}
        return "; ".join(f"{key}: {value}" for key, value in plain.items())
    return str(provenance)
