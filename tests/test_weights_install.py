"""Published weights into the cache: what arrives there, and that what is bad never does."""

import collections
import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from file_server import Served, serving

from aucli.errors import WeightsError
from aucli.models.catalogue import find_architecture
from aucli.models.landmark import LandmarkNet
from aucli.models.pixels import PixelScale
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.weights import manifest
from aucli.weights.cards import au_model, complete_card, load_au_model, load_weights
from aucli.weights.install import import_file, pull
from aucli.weights.manifest import Published, published, read_manifest
from aucli.weights.names import why_absent

WIDTHS = (4, 4, 8, 8)
SCC = SCCHeatmapConfig(maps=4, scc_sizes=(4,), k=3, crop_size=32, widths=(4, 8, 8, 8))
AUS = ["AU06", "AU12"]


def published_state(net: torch.nn.Module) -> dict:
    """A network's tensors as a training loop of 2018 wrote them."""
    state = {k: t for k, t in net.state_dict().items() if "num_batches" not in k}
    return {
        "epoch": 3,
        "state_dict": collections.OrderedDict((f"module.{k}", t) for k, t in state.items()),
    }


def saved(content: object, legacy: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def au_net(maps: int = 4) -> SCCHeatmapNet:
    torch.manual_seed(0)
    return SCCHeatmapNet(replace(SCC, maps=maps)).eval()


GOOD = saved(published_state(au_net()))


def entry(*urls: str, sha256: str | None = None) -> Published:
    return Published(
        name="two-aus",
        kind="au",
        architecture="SCCHeatmapNet",
        licence="for tests only",
        paper="A paper",
        page="https://example.org/page",
        urls=urls,
        sha256=sha256,
        member=None,
        card={"config": SCC.to_dict(), "aus": AUS, "offset": [0.5, 1.0]},
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUCLI_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(call, *args) -> str:
    with pytest.raises(WeightsError) as caught:
        call(*args)
    return str(caught.value)


def test_pulled_weights_are_loaded_by_name(server, cache) -> None:
    server.files["net.pth.tar"] = Served(GOOD)
    path = pull(entry(server.url("net.pth.tar")))
    assert path == cache / "two-aus.safetensors"
    assert sorted(content(cache)) == ["two-aus.json", "two-aus.safetensors"]
    loaded = load_weights("two-aus")
    for key, tensor in au_net().state_dict().items():
        assert torch.equal(loaded.net.state_dict()[key], tensor), key
    provenance = loaded.card["provenance"]
    assert provenance.pop("converted by").startswith("aucli ")
    assert provenance == {
        "paper": "A paper",
        "licence": "for tests only",
        "url": server.url("net.pth.tar"),
        "sha256": hashlib.sha256(GOOD).hexdigest(),
    }
    model = load_au_model("two-aus")
    assert (list(model.aus), model.name, list(model.offset)) == (AUS, "two-aus", [0.5, 1.0])


def test_other_number_types_become_float32(cache, tmp_path) -> None:
    state = {
        k: t.double() if t.is_floating_point() else t for k, t in au_net().state_dict().items()
    }
    (tmp_path / "a.pth").write_bytes(saved(state))
    import_file(entry(), tmp_path / "a.pth")
    net = load_weights("two-aus").net
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def changed(**tensors: torch.Tensor | None) -> bytes:
    """The good checkpoint with tensors replaced, added or (None) taken away."""
    state = {**au_net().state_dict(), **{k.replace("__", "."): t for k, t in tensors.items()}}
    return saved({k: t for k, t in state.items() if t is not None})


class Runs:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


FIRST, *_, LAST = (k.replace(".", "__") for k, t in au_net().state_dict().items() if t.ndim == 4)
BAD = {
    "truncated": (GOOD[:-10],
        " is truncated, damaged or not written by torch.save; get it again"),
    "page": (b"<html>Sign in</html>",
        " is a web page, not a checkpoint; open its link in a browser and save the file itself"),
    "code": (saved({"state_dict": au_net().state_dict(), "x": Runs()}),
        " asks for posix.mkdir to be called, which tensors do not need; nothing of it was run, "
        "give the file that its authors published"),
    "missing key": (changed(**{FIRST: None}),
        f" does not fit SCCHeatmapNet: it lacks {FIRST.replace('__', '.')}"),
    "unknown key": (changed(zoo__weight=torch.zeros(1)),
        " does not fit SCCHeatmapNet: it has the unknown zoo.weight"),
    "shape": (changed(**{FIRST: torch.zeros(3, 3)}),
        f" does not fit SCCHeatmapNet: {FIRST.replace('__', '.')} is (3, 3), expected "
        f"{tuple(au_net().state_dict()[FIRST.replace('__', '.')].shape)}"),
    "AU count": (saved(published_state(au_net(maps=10))),
        " makes 10 heatmaps, but two-aus has 4 for AU06, AU12; give the file that belongs to "
        "this name"),
    "not finite": (changed(**{LAST: au_net().state_dict()[LAST.replace("__", ".")] * torch.nan}),
        f" is damaged: {LAST.replace('__', '.')} has values that are not finite"),
    "empty": (b"", " is empty; get it again"),
}  # fmt: skip


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("case", BAD)
def test_bad_files_leave_the_cache_as_it_was(server, cache, tmp_path, case, before) -> None:
    blob, why = BAD[case]
    file = tmp_path / "given.pth"
    if before:
        file.write_bytes(GOOD)
        import_file(entry(), file)
    was = content(cache)
    file.write_bytes(blob)
    assert refused(import_file, entry(), file) == f"{file}{why}"
    assert content(cache) == was
    server.files["a.pth"] = Served(blob)
    url = server.url("a.pth")
    assert refused(pull, entry(url)) == f"the file from {url}{why}"
    assert content(cache) == was
    assert not Path("made-by-a-pickle").exists()


def test_interrupted_and_resumed(server, cache) -> None:
    server.files["a.pth"] = Served(GOOD, cut_at=5000)
    what = entry(server.url("a.pth"))
    assert refused(pull, what) == (
        f"two-aus could not be pulled: {server.host} broke off after 5000 of {len(GOOD)} bytes; "
        "run the command again, or download it from https://example.org/page and run "
        "`aucli weights import two-aus FILE`"
    )
    assert str(why_absent("two-aus")).startswith("no network is named 'two-aus'; known are: ")
    pull(what)
    assert server.asked == [("a.pth", None), ("a.pth", "bytes=5000-")]
    assert sorted(content(cache)) == ["two-aus.json", "two-aus.safetensors"]


def test_wrong_checksum(server, cache) -> None:
    server.files["a.pth"] = Served(GOOD)
    found = hashlib.sha256(GOOD).hexdigest()[:12]
    said = refused(pull, entry(server.url("a.pth"), sha256="0" * 64))
    assert said.startswith(
        f"two-aus could not be pulled: {server.host} sends another file "
        f"(sha256 {found}..., expected 000000000000...), which was deleted; run the command again"
    )
    assert content(cache) == {}


def test_first_checksum_counts_from_then_on(server, cache) -> None:
    server.files["a.pth"] = Served(GOOD)
    what = entry(server.url("a.pth"))
    pull(what)
    was = content(cache)
    pull(what)  # the same file again
    newer = saved(au_net().state_dict())
    server.files["a.pth"] = Served(newer, etag='"2"')
    said = refused(pull, what)
    assert f"expected {hashlib.sha256(GOOD).hexdigest()[:12]}...), which was deleted" in said
    assert said.endswith(f", or delete {cache}/two-aus.json if its authors replaced the file")
    assert content(cache) == was
    (cache / "two-aus.json").unlink()
    pull(what)
    recorded = load_weights("two-aus").card["provenance"]["sha256"]
    assert recorded == hashlib.sha256(newer).hexdigest()


def test_an_import_is_no_record_for_downloads(server, cache, tmp_path) -> None:
    (tmp_path / "mine.pth").write_bytes(saved(au_net().state_dict()))
    import_file(entry(), tmp_path / "mine.pth")
    assert load_weights("two-aus").card["provenance"]["file"] == "mine.pth"
    server.files["a.pth"] = Served(GOOD)
    pull(entry(server.url("a.pth")))
    assert load_weights("two-aus").card["provenance"]["url"] == server.url("a.pth")


def test_by_hand_only(cache) -> None:
    assert refused(pull, entry()) == (
        "two-aus cannot be pulled: download it from https://example.org/page and run "
        "`aucli weights import two-aus FILE`"
    )


def test_cache_that_cannot_be_written(cache, tmp_path) -> None:
    cache.write_bytes(b"a file")
    (tmp_path / "a.pth").write_bytes(GOOD)
    assert refused(import_file, entry(), tmp_path / "a.pth") == (
        f"cannot write {cache} (File exists); make room there or name another folder by "
        "AUCLI_WEIGHTS"
    )


def test_names_that_are_not_here_yet(cache) -> None:
    assert refused(load_weights, "fanau-disfa") == (
        "fanau-disfa is not on this machine yet; run `aucli weights pull fanau-disfa`"
    )
    assert refused(load_weights, "heatmap-resnet50-bp4d") == (
        "heatmap-resnet50-bp4d is not on this machine yet; download it from "
        "https://drive.google.com/file/d/15cJtFEkrOrbt5FfZOxnWulQhaOKfaLtN/view and run "
        "`aucli weights import heatmap-resnet50-bp4d FILE`"
    )


def test_manifest_is_complete() -> None:
    entries = read_manifest()
    assert list(entries) == list(json.loads(manifest.MANIFEST.read_text()))
    for name, known in entries.items():
        assert (known.name, published(name)) == (name, known)
        row = find_architecture(known.architecture, known.card["config"])
        assert row is not None and row.kind == known.kind
        card = known.card
        assert PixelScale.of_card(card) == row.pixels
        assert (card.get("crop_size", 0), card.get("template", "")) == (row.crop_size, row.template)
        assert all(url.startswith("https://") for url in (*known.urls, known.page))
        assert known.sha256 is None or len(known.sha256) == 64
        assert known.licence and known.paper


@pytest.mark.parametrize("name", read_manifest())
def test_every_card_of_the_manifest_makes_a_network(name) -> None:
    known = published(name)
    row = find_architecture(known.architecture)
    assert row is not None
    net = row.load().from_config(known.card["config"]).eval()
    card = complete_card(net, {**known.card, "metrics": {}, "provenance": {}})
    assert card["kind"] == known.kind and card["config"] == known.card["config"]
    if known.kind == "au":
        assert au_model(net, card).aus == tuple(known.card["aus"])


def test_stand_in_for_a_landmark_network(cache, tmp_path) -> None:
    torch.manual_seed(1)
    net = LandmarkNet(WIDTHS)
    (tmp_path / "a.pth").write_bytes(saved(net.state_dict(), legacy=False))
    what = Published("marks", "landmarks", "LandmarkNet", "l", "p", "h", (), None, None,
                     {"config": {"widths": list(WIDTHS)}})  # fmt: skip
    import_file(what, tmp_path / "a.pth")
    assert load_weights("marks").card["config"] == {"widths": list(WIDTHS)}
