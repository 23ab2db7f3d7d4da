"""``aucli info``: what a bug report or a methods section needs to say about the installation."""

import platform
from importlib import metadata
from pathlib import Path

import aucli

PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "safetensors", "pillow", "typer", "rich")
DECODERS = {"decord": "decord2", "pyav": "av"}
EXTRAS = ("moderngl", "scipy", "scikit-image")


def info() -> None:
    """Show versions, decoders, the device and the weights that are found."""
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
    """One line for each weights file: name, sha256, size and where it came from."""
    import hashlib
    import json

    package = Path(aucli.__file__).parent
    lines = []
    # In a wheel the weights are inside the package; in a checkout they are beside it.
    for folder in (package / "_weights", package.parent / "weights"):
        manifest = folder / "manifest.json"
        entries = json.loads(manifest.read_text("utf-8")) if manifest.is_file() else {}
        for path in sorted(folder.glob("*.safetensors")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            entry = entries.get(path.stem, {}) if isinstance(entries, dict) else {}
            provenance = entry.get("provenance", "provenance not recorded")
            size = path.stat().st_size / 1e6
            lines.append(f"{path.stem}: {size:.1f} MB, sha256 {digest}, {provenance}")
    return lines
