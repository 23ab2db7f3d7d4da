"""Published checkpoints into the cache: fetched or given, checked, converted, all or nothing."""

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from aucli.errors import WeightsError
from aucli.models.catalogue import find_architecture
from aucli.version import version
from aucli.weights.cards import check_fit, save_weights
from aucli.weights.checkpoints import read_checkpoint
from aucli.weights.download import TIMEOUT_SECONDS, OnBytes, download
from aucli.weights.manifest import Published
from aucli.weights.store import cache_dir, card_file, read_card_file


def pull(
    entry: Published, on_progress: OnBytes | None = None, timeout: float = TIMEOUT_SECONDS
) -> Path:
    """Download published weights and convert them; returns the .safetensors path in the cache.

    Where no checksum is published, that of the first download counts from then on. Raises
    WeightsError; the weights in the cache are then as before, and a download that broke off is
    continued by the next call.
    """
    if not entry.urls:
        raise WeightsError(f"{entry.name} cannot be pulled: {entry.how}")
    net = _network(entry)  # a library that it lacks is told before the download
    recorded = None if entry.sha256 else _recorded_sha256(entry.name)
    try:
        got = download(
            entry.urls,
            cache_dir() / "partial",
            sha256=entry.sha256 or recorded,
            on_progress=on_progress,
            timeout=timeout,
        )
    except WeightsError as error:
        replaced = card_file(cache_dir() / entry.name)
        advice = f", or delete {replaced} if its authors replaced the file" if recorded else ""
        raise WeightsError(
            f"{entry.name} could not be pulled: {error}; run the command again, or download it "
            f"from {entry.page} and run `aucli weights import {entry.name} FILE`{advice}"
        ) from error
    try:
        state = read_checkpoint(got.path, f"the file from {got.url}", entry.member)
        source = {"url": got.url}
        return _install(entry, net, state, f"the file from {got.url}", source, got.sha256)
    finally:
        got.delete()


def import_file(entry: Published, path: Path) -> Path:
    """Convert a checkpoint that the user has; returns the .safetensors path in the cache.

    Its sha256 is written to the card, but need not be the published one. Raises WeightsError; the
    weights in the cache are then as before.
    """
    net = _network(entry)
    state = read_checkpoint(path, str(path), entry.member)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return _install(entry, net, state, str(path), {"file": path.name}, sha256)


def _network(entry: Published) -> nn.Module:
    row = find_architecture(entry.architecture, entry.card["config"])
    assert row is not None, f"the manifest names {entry.architecture}, which is in no catalogue"
    return row.load().from_config(entry.card["config"])


def _recorded_sha256(name: str) -> str | None:
    """Checksum of the file that was pulled before, None where there was none."""
    try:
        provenance = read_card_file(card_file(cache_dir() / name))["provenance"]
        return provenance["sha256"] if "url" in provenance else None
    except (OSError, WeightsError, KeyError, TypeError):
        return None


def _install(
    entry: Published,
    net: nn.Module,
    state: dict[str, Tensor],
    label: str,
    source: dict[str, str],
    sha256: str,
) -> Path:
    """Check tensors against the entry's network and put them into the cache with their card."""
    card: dict[str, Any] = {
        "metrics": {},
        **entry.card,
        "provenance": {
            "paper": entry.paper,
            "licence": entry.licence,
            **source,
            "sha256": sha256,
            "converted by": f"aucli {version()}",
        },
    }
    wanted = net.state_dict()
    # PyTorch before 1.0 did not count batches, and nothing in inference reads the count.
    counters = {key: t for key, t in wanted.items() if key.endswith(".num_batches_tracked")}
    state = {**counters, **state}
    if entry.kind == "au":
        _check_maps(entry, label, wanted, state)
    check_fit(label, entry.architecture, wanted, state)
    for key, tensor in state.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{label} is damaged: {key} has values that are not finite")
    net.load_state_dict(
        {key: t.float() if wanted[key].is_floating_point() else t for key, t in state.items()}
    )
    final = cache_dir() / entry.name
    try:
        return save_weights(final, net.eval(), card, half=False)
    except OSError as error:
        raise WeightsError(
            f"cannot write {final.parent} ({error.strerror or error}); make room there or name "
            "another folder by AUCLI_WEIGHTS"
        ) from error


def _check_maps(
    entry: Published, label: str, wanted: dict[str, Tensor], state: dict[str, Tensor]
) -> None:
    """Refuse weights of the same network for other AUs: only the number of heatmaps differs."""
    maps = entry.card["config"]["maps"]
    for key, tensor in wanted.items():
        found = state.get(key)
        if found is None or found.shape == tensor.shape or found.ndim != 4 or len(tensor) != maps:
            continue
        if found.shape[1:] == tensor.shape[1:]:
            raise WeightsError(
                f"{label} makes {len(found)} heatmaps, but {entry.name} has {maps} for "
                f"{', '.join(entry.card['aus'])}; give the file that belongs to this name"
            )
