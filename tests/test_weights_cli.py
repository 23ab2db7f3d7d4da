"""``aucli weights``: what it prints where, and its exit codes."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from file_server import Served, serving
from typer.testing import CliRunner

from aucli.cli import app, weights
from aucli.models.landmark import LandmarkNet
from aucli.weights import manifest, store

WIDTHS = (4, 4, 8, 8)
EMBEDDED = ("builtin-detector", "builtin-landmarks", "scc-joint")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUCLI_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file that fits the entry ``tiny`` of :func:`known`."""
    torch.manual_seed(0)
    torch.save({"state_dict": LandmarkNet(WIDTHS).state_dict()}, tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


@pytest.fixture
def server(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A manifest of three weights, two of them on a server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    blob = checkpoint.read_bytes()
    entry = {
        "kind": "landmarks",
        "architecture": "LandmarkNet",
        "licence": "for tests; nothing else",
        "paper": "A paper",
        "page": "https://example.org/page",
        "sha256": hashlib.sha256(blob).hexdigest(),
        "member": None,
        "card": {"config": {"widths": list(WIDTHS)}},
    }
    with serving() as running:
        running.files["tiny.pth"] = Served(blob)
        entries = {
            "tiny": {**entry, "urls": [running.url("tiny.pth")]},
            "gone": {**entry, "urls": [running.url("gone.pth")]},
            "by-hand": {**entry, "urls": []},
        }
        (tmp_path / "manifest.json").write_text(json.dumps(entries))
        monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "manifest.json")
        yield running


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["weights", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def rows(text: str) -> dict[str, list[str]]:
    return {line.split("\t")[0]: line.split("\t")[1:] for line in text.splitlines()}


def test_where(cache, monkeypatch) -> None:
    assert run("where") == (f"{cache}\n", "")
    monkeypatch.delenv("AUCLI_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert run("where")[0].endswith("aucli/weights\n")


def test_list(server, cache, checkpoint) -> None:
    said, _ = run("list")
    table = rows(said)
    assert list(table) == ["name", *EMBEDDED, "tiny", "gone", "by-hand"]
    assert table["name"] == ["kind", "AUs", "state", "licence", "size"]
    assert table["builtin-detector"][:4] == ["detector", "", "embedded", "MIT"]
    assert table["scc-joint"][1].startswith("1,2,4,5,6")
    assert table["tiny"] == ["landmarks", "", "not here", "for tests", ""]
    run("import", "tiny", str(checkpoint))
    assert rows(run("list")[0])["tiny"] == ["landmarks", "", "here", "for tests", "0.1 MB"]


def test_list_names_what_the_package_knows(cache) -> None:
    table = rows(run("list")[0])
    assert table["fanau-disfa"][:3] == ["au", "1,2,4,5,6,9,12,15,17,20,25,26", "not here"]
    assert [table[name][1] for name in ("hourglass-bp4d", "heatmap-resnet50-bp4d")] == [
        "6,10,12,14,17"
    ] * 2
    for name in ("retinaface-mobilenet", "retinaface-resnet50"):
        assert table[name][0] == "detector"
    assert table["fan-2d"][0] == "landmarks"


def test_pull(server, cache) -> None:
    said, notes = run("pull", "tiny")
    assert said == f"{cache}/tiny.safetensors\n"
    assert notes == "tiny: A paper; https://example.org/page\nlicence: for tests; nothing else\n"
    assert run("pull", "tiny") == (said, "")  # once is enough
    assert len(server.asked) == 1
    tensors = cache / "tiny.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    assert run("pull", "tiny")[0] == said
    assert len(server.asked) == 2
    assert run("verify", "tiny") == ("tiny: as its card describes\n", "")


def test_pull_goes_on_after_a_failure(server, cache) -> None:
    said, notes = run("pull", "gone", "by-hand", "zoo", "scc-joint", "tiny", code=2)
    assert said.splitlines() == [
        str(store.weights_dir() / "scc-joint.safetensors"),
        f"{cache}/tiny.safetensors",
    ]
    assert [line for line in notes.splitlines() if line.startswith("aucli: ")] == [
        f"aucli: gone could not be pulled: {server.host} answers 404 Not Found; run the command "
        "again, or download it from https://example.org/page and run "
        "`aucli weights import gone FILE`",
        "aucli: by-hand cannot be pulled: download it from https://example.org/page and run "
        "`aucli weights import by-hand FILE`",
        "aucli: no published weights are named 'zoo'; known: tiny, gone, by-hand",
    ]
    assert sorted(path.name for path in cache.iterdir() if path.is_file()) == [
        "tiny.json",
        "tiny.safetensors",
    ]


def test_pull_that_breaks_off_and_goes_on(server, cache) -> None:
    served = server.files["tiny.pth"]
    served.cut_at = 4000
    _, notes = run("pull", "tiny", code=1)
    assert notes.splitlines()[-1].startswith(
        f"aucli: tiny could not be pulled: {server.host} broke off after 4000 of "
        f"{len(served.content)} bytes; run the command again, or "
    )
    assert store.list_cached() == []
    assert run("pull", "tiny")[0] == f"{cache}/tiny.safetensors\n"
    assert server.asked == [("tiny.pth", None), ("tiny.pth", "bytes=4000-")]
    assert sorted(path.name for path in cache.iterdir()) == ["tiny.json", "tiny.safetensors"]


@pytest.mark.parametrize("how", ["option", "variable"])
def test_offline(server, cache, monkeypatch, how) -> None:
    if how == "variable":
        monkeypatch.setenv("AUCLI_OFFLINE", "1")
    option = ["--offline"] if how == "option" else []
    assert run("pull", "tiny", *option, code=1) == ("", (
        "aucli: tiny is not on this machine and the network is not to be used (--offline or "
        "AUCLI_OFFLINE); run `aucli weights import tiny FILE` with a copy of the file\n"
    ))  # fmt: skip
    assert server.asked == []
    run("pull", "scc-joint", *option)


@pytest.mark.parametrize(
    ("arguments", "answer", "code"), [([], "y\n", 0), ([], "n\n", 1), (["--yes"], "", 0)]
)
def test_licence_is_asked_for_on_a_terminal(
    server, cache, monkeypatch, arguments, answer, code
) -> None:
    monkeypatch.setattr(weights, "on_terminal", lambda: True)
    result = CliRunner().invoke(app, ["weights", "pull", "tiny", *arguments], input=answer)
    assert result.exit_code == code, result.output
    assert ("Download it? [y/N]" in result.stderr) == (not arguments)
    assert ("aucli: tiny was not downloaded\n" in result.stderr) == (code == 1)
    assert len(server.asked) == 1 - code
    assert result.stdout == ("" if code else f"{cache}/tiny.safetensors\n")


def test_import(server, cache, checkpoint, tmp_path) -> None:
    assert run("import", "tiny", str(checkpoint)) == (f"{cache}/tiny.safetensors\n", "")
    net = LandmarkNet(WIDTHS)
    torch.save(net.state_dict(), tmp_path / "own.pth")
    digest = hashlib.sha256((tmp_path / "own.pth").read_bytes()).hexdigest()[:12]
    assert run("import", "tiny", str(tmp_path / "own.pth")) == (
        f"{cache}/tiny.safetensors\n",
        f"warning: {tmp_path}/own.pth fits tiny, but is not the published file "
        f"(sha256 {digest}...).\n",
    )


def test_import_of_bad_files(server, cache, tmp_path) -> None:
    page = tmp_path / "page.pth"
    page.write_text("<html>")
    assert run("import", "tiny", str(page), code=1) == ("", (
        f"aucli: {page} is a web page, not a checkpoint; open its link in a browser and save the "
        "file itself\n"
    ))  # fmt: skip
    assert run("import", "tiny", str(tmp_path / "no.pth"), code=1) == (
        "",
        f"aucli: {tmp_path}/no.pth cannot be read (No such file or directory)\n",
    )
    told = run("import", "zoo", str(page), code=2)[1]
    assert "no published weights are named 'zoo'; known: tiny, gone, by-hand" in told
    assert not cache.exists()
    run("import", "tiny", code=2)


def test_verify(server, cache, checkpoint) -> None:
    run("import", "tiny", str(checkpoint))
    expected = "".join(f"{name}: as its card describes\n" for name in (*EMBEDDED, "tiny"))
    assert run("verify") == (expected, "")
    tensors = cache / "tiny.safetensors"
    blob = bytearray(tensors.read_bytes())
    blob[-1] ^= 1
    tensors.write_bytes(blob)
    said, notes = run("verify", code=1)
    assert said == expected.removesuffix("tiny: as its card describes\n")
    assert notes.startswith(f"aucli: weights file {tensors} is not the one its card describes (")
    assert notes.count("\n") == 1
    assert run("verify", "scc-joint") == ("scc-joint: as its card describes\n", "")
    assert run("verify", "gone", code=1) == (
        "",
        "aucli: gone is not on this machine yet; run `aucli weights pull gone`\n",
    )


def test_info_names_cached_weights(server, cache, checkpoint) -> None:
    run("import", "tiny", str(checkpoint))
    lines = CliRunner().invoke(app, ["info"]).stdout.splitlines()
    assert any(line.startswith("weights       tiny: landmarks, 0.1 MB, sha256 ") for line in lines)
