"""``aucli bench``: what it reports, and what it says where there is nothing to time."""

import importlib
import json
import re
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from bright_faces import ONE, tiny_analyzer, tiny_networks, write_clip
from synthetic_faces import write_shards
from test_examples import run_script
from torch import nn
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.analyzer import Analyzer
from aucli.bench.calls import clock_of, networks_of, watched
from aucli.bench.layers import Layer, flop_of, layers_of
from aucli.bench.limit import best_rate, shortest
from aucli.bench.plain import ConcatenatedSCC, concatenated, forms_of, run_form
from aucli.bench.speed import measure_speed
from aucli.bench.tables import Table
from aucli.cli import app
from aucli.models.blocks import ready
from aucli.models.onnx import OnnxNetwork
from aucli.models.scc import SCC
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.video.source import open_video

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "examples" / "demo.mp4"


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.chdir(tmp_path)
    return write_clip(tmp_path / "face.mp4", [ONE] * 20)


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "--threads", "1", *map(str, arguments)])


def test_every_run_is_told_as_json(clip: Path) -> None:
    result = bench(clip, clip, "--runs", 3, "--json")
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    for told in (first, second):
        assert (told["video"], told["frames"]) == ("face.mp4", 20)
        assert (told["width"], told["height"]) == (96, 64)
        assert len(told["fps"]) == 3
        assert min(told["fps"]) > 0 and told["first_fps"] > 0
        assert told["median_fps"] == statistics.median(told["fps"])
        assert set(told["stages"]) == {"decode", "faces", "aus"}
        for stage in told["stages"].values():
            assert 0 <= stage["busy"] <= 1 and stage["cpu_ms"] > 0
            assert stage["busy"] + stage["waiting"] == pytest.approx(1)
        assert told["decode_fps"] > 0 and told["decode_cpu_ms"] > 0
        assert told["faces"] == 20 and told["faces_per_second"] > 0
        # 20 crops in calls of 16 and 4, in each of three runs; no other network was there.
        (network,) = told["networks"]
        assert (network["per_frame"], network["per_call"]) == (1.0, 10.0)
        assert told["gflop_per_face"] == network["gflop"] > 0
        assert min(network[name] for name in ("rate", "alone_rate", "best_rate")) > 0
        stages = sum(stage["cpu_ms"] for stage in told["stages"].values())
        assert stages + told["library_cpu_ms"] == pytest.approx(told["cpu_ms"], rel=0.05)
        assert 0 < told["network_cpu_ms"] < told["cpu_ms"]
        assert "plain" not in told and told["precision"] == "fp32"
        assert 20 < told["peak_mb"] < 100_000
    assert second["peak_mb"] >= first["peak_mb"]


def test_the_report_names_the_warm_median_and_writes_no_table(clip: Path) -> None:
    result = bench(clip, "--runs", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "face.mp4: 20 frames of 96x64, 20 faces"
    names = ["first run", "warm", "faces", "decoding only", "networks", "peak memory", "",
             "stage", "decoding", "faces", "AUs and rows", "threads of libraries", "together",
             "  of it in networks", "  neither network nor decoding", "", "network",
             "AU network"]  # fmt: skip
    assert all(line[2:].startswith(name) for line, name in zip(lines[1:], names, strict=True))
    assert max(map(len, lines)) <= 80
    assert "(median of 2, " in lines[2]
    assert [path.name for path in clip.parent.iterdir()] == ["face.mp4"]


def test_a_missing_video_is_told_before_anything_is_timed(clip: Path) -> None:
    result = bench(clip, "gone.mp4")
    assert result.exit_code == 1
    assert "aucli: gone.mp4 does not exist; check the name." in result.stderr
    assert result.stdout == ""


def test_a_video_that_fails_costs_no_other(clip: Path) -> None:
    text = clip.with_name("notes.mp4")
    text.write_text("not a video")
    result = bench(clip, text, clip, "--runs", 1, "--json")
    assert result.exit_code == 1
    assert [told["video"] for told in json.loads(result.stdout)] == ["face.mp4", "face.mp4"]
    assert "aucli: " in result.stderr and "notes.mp4" in result.stderr


def test_damage_is_told(clip: Path) -> None:
    whole = write_clip(clip.with_name("whole.avi"), [ONE] * 40).read_bytes()
    cut = clip.with_name("cut.avi")
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    result = bench(cut, "--runs", 1, "--json")
    assert result.exit_code == 1
    (told,) = json.loads(result.stdout)
    assert 0 < told["frames"] < 40 and told["damage"]
    assert f"cut.avi: {told['damage']}; what could be decoded was timed." in result.stderr


def test_calls_of_one_thread_are_timed_by_the_cpu() -> None:
    def waits() -> None:
        time.sleep(0.02)  # as another program would make us wait

    assert shortest(waits, 0.05) > 0.015
    assert shortest(waits, 0.05, clock_of(1)) < 0.01
    assert clock_of(2) is time.perf_counter


def test_what_is_no_video_and_no_run_at_all(clip: Path) -> None:
    text = clip.with_name("notes.mp4")
    text.write_text("not a video")
    result = bench(text)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("aucli: ") and "notes.mp4" in last
    assert bench(clip, "--runs", 0).exit_code == 2
    with pytest.raises(ValueError, match="runs: 0 is not 1 or more"):
        measure_speed(clip, tiny_analyzer(), runs=0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first ten frames of the demo clip."""
    path = tmp_path_factory.mktemp("demo") / "short.mp4"
    with open_video(DEMO) as source, av.open(str(path), "w") as container:
        frames = next(iter(source)).frames[:10]
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return path


def test_layers_are_counted_with_their_arithmetic() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1, groups=8),
        nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.Flatten(), nn.Linear(4 * 36, 5),
    ).eval()  # fmt: skip
    expected = {
        ((2, 3, 6, 6), (8, 3, 3, 3)): 2 * 2 * 36 * 8 * 3 * 9,
        ((2, 8, 6, 6), (8, 1, 3, 3)): 2 * 2 * 9 * 8 * 9,
        ((2, 8, 3, 3), (8, 4, 4, 4)): 2 * 2 * 9 * 8 * 4 * 16,
        ((2, 144), (144, 5)): 2 * 2 * 144 * 5,
    }
    layers = layers_of(net, torch.randn(2, 3, 6, 6))
    assert {layer.shapes: layer.flop for layer in layers} == expected
    assert flop_of(layers) == sum(expected.values())
    with torch.inference_mode():
        assert layers_of(net, torch.randn(2, 3, 6, 6)) == layers
    assert best_rate(layers, threads=1) > 0
    assert best_rate(Counter[Layer](), threads=1) == 0


def test_the_papers_network_has_the_known_arithmetic() -> None:
    net = SCCHeatmapNet(SCCHeatmapConfig.paper(24)).eval()
    x = torch.zeros(1, 3, 256, 256)
    gmac = [
        flop_of(layers_of(own, x)) / 2e9
        for own in (ready(net, "cpu"), ready(concatenated(net), "cpu"))
    ]
    assert gmac == pytest.approx([8.65, 23.35], abs=0.01)


@pytest.mark.parametrize("rank", [0, 6])
def test_the_concatenated_layer_equals_the_factorised_one(rank: int) -> None:
    torch.manual_seed(1)
    net = nn.ModuleList([SCC(8, 5, residual=bool(rank), rank=rank)]).eval()
    bn = net[0].bn
    assert isinstance(bn, nn.BatchNorm2d) and bn.running_mean is not None
    with torch.no_grad():
        bn.weight.uniform_(-1, 1)
        bn.running_mean.normal_()
    plain = concatenated(net)[0]  # type: ignore[index]
    assert isinstance(plain, ConcatenatedSCC)
    x = torch.randn(3, 12, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), net[0](x), rtol=1e-4, atol=1e-5)
        assert (net[0](x) - x).abs().max() > 0.1


def test_watched_networks_stay_what_they_are(demo: Path) -> None:
    own = Analyzer(threads=1)
    types = {name: type(net) for name, net in networks_of(own.networks).items()}
    assert set(types) == {"scc-joint", "builtin-detector", "builtin-landmarks"}
    table = own.frame(demo)
    with watched(own.networks) as calls:
        assert isinstance(own.networks.au.net, OnnxNetwork)
        assert own.frame(demo).equals(table)
    assert {name: type(net) for name, net in networks_of(own.networks).items()} == types
    counted = {name: (one.calls, one.items) for name, one in calls.items()}
    own.frame(demo)
    assert {name: (one.calls, one.items) for name, one in calls.items()} == counted
    assert calls["scc-joint"].items >= 10 and calls["builtin-detector"].calls >= 1
    assert calls["scc-joint"].cpu_seconds > 0


def test_the_plain_forms_do_the_same_in_other_ways(demo: Path) -> None:
    own = Analyzer(threads=1)
    forms = {form.name: form for form in forms_of(own)}
    assert list(forms) == [
        "today", "torch in place of ONNX Runtime", "and SCC with the k-fold concatenation",
        "one frame in a call", "detection in every frame", "one stage after the other",
        "all of these together",
    ]  # fmt: skip
    calls = {}
    for name, form in forms.items():
        with watched(form.networks) as of_form:
            assert run_form(demo, form) == 10
        calls[name] = {key: (one.calls, one.items) for key, one in of_form.items()}
    today = calls["today"]
    assert calls["torch in place of ONNX Runtime"] == today
    assert calls["one stage after the other"] == today
    assert calls["detection in every frame"]["builtin-detector"][1] == 10
    assert today["builtin-detector"][1] < 3
    assert calls["one frame in a call"]["scc-joint"] == (10, 10)
    assert today["scc-joint"][0] < 10
    together = forms["all of these together"].networks.au.net
    assert any(isinstance(module, ConcatenatedSCC) for module in together.modules())
    readings = []
    for name in ("today", "and SCC with the k-fold concatenation"):
        other = Analyzer(threads=1)
        other.networks = forms[name].networks
        readings.append(other.frame(demo).filter(like="_r").to_numpy())
    np.testing.assert_allclose(*readings, atol=1e-2)


@pytest.mark.slow
def test_plain_forms_are_told_beside_todays(demo: Path) -> None:
    result = bench(demo, "--plain", "--runs", 1, "--json")
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)
    forms = told["plain"]
    assert forms[0]["name"] == forms[0]["beside"] == "today" and forms[0]["times"] == 1
    assert [form["beside"] for form in forms[1:3]] == ["today", forms[1]["name"]]
    assert all(form[key] > 0 for form in forms for key in ("fps", "cpu_ms", "cpu_times"))


def test_a_table_on_the_screen_and_on_a_page() -> None:
    table = Table(("network", "ms"), [("one", "1.25"), ("  of it", "10.00")])
    assert table.text() == "  network     ms\n  one       1.25\n    of it  10.00"
    assert table.markdown().splitlines()[1:] == [
        "| --- | ---: |", "| one | 1.25 |", "| &nbsp; of it | 10.00 |",
    ]  # fmt: skip


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "examples" / "maintenance")
    return importlib.import_module("measure_speed")


def test_the_page_has_a_place_for_every_table(scripts: Any) -> None:
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    names = re.findall(r"^<!-- ([\w-]+) -->$", page, re.M)
    own = ["machine", "runs", "stages", "networks", "forms", "scc"]
    assert names == [*own, "precision", "precision-large", "precision-videos"]
    new = scripts.filled(page, {name: f"the {name} \\1" for name in names})
    assert all(f"<!-- {name} -->\nthe {name} \\1\n<!-- /{name} -->" in new for name in names)
    assert scripts.filled(new, {"forms": "a"}).count("the ") == new.count("the ") - 1
    with pytest.raises(SystemExit, match="the page has no part other"):
        scripts.filled(page, {"other": ""})


@pytest.mark.slow
def test_one_command_writes_the_page(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: Any
) -> None:
    page = tmp_path / "speed.md"
    page.write_bytes((ROOT / "docs" / "speed.md").read_bytes())
    words = ["--page", page, "--runs", 1, "--videos", demo, "--batches", 1]
    assert run_script(monkeypatch, "maintenance/measure_speed.py", *words) == 0
    text = page.read_text("utf-8")
    assert "Not measured yet" not in text
    assert re.search(r"^\| `short\.mp4`, 10 frames of 640x360 \| \d", text, re.M)
    assert re.search(r"^\| whole network, 1 face \| 8\.6 \| 23\.3 \| \d", text, re.M)


@pytest.mark.slow
def test_another_command_writes_what_fewer_bits_save(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: Any
) -> None:
    page = tmp_path / "speed.md"
    page.write_bytes((ROOT / "docs" / "speed.md").read_bytes())
    write_shards(tmp_path / "faces", faces=24)
    words = ["--faces", tmp_path / "faces", "--page", page, "--count", 4, "--rounds", 2]
    words += ["--runs", 1, "--videos", demo]
    threads = torch.get_num_threads()
    try:
        assert run_script(monkeypatch, "maintenance/measure_precision.py", *words) == 0
    finally:
        torch.set_num_threads(threads)
    text = page.read_text("utf-8")
    assert re.search(r"^\| int8, ONNX Runtime( \| \d+\.\d+){4} \| ", text, re.M)
    assert re.search(r"^\| `hourglass`( \| \d+){5} \|$", text, re.M)
    assert re.search(r"^\| `short\.mp4`( \| \d+\.\d+){3} \|$", text, re.M)


def test_the_film_of_five_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = tmp_path / "five.mp4"
    words = ["maintenance/make_five_faces.py", film, "--frames", 6]
    assert run_script(monkeypatch, *words) == 0
    table = Analyzer(faces="all", threads=1).frame(film)
    assert len(table) == 30 and table["success"].to_numpy().all()
    assert set(table["face_id"].to_numpy()) == set(range(5))


@pytest.mark.slow
def test_ways_beside_each_other(
    demo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those that need no other environment."""
    script = "studies/tools_speed.py"
    assert run_script(monkeypatch, script, "gone.mp4") == 1
    assert capfd.readouterr().err == "tools_speed: gone.mp4 is not there; check the name.\n"
    assert run_script(monkeypatch, script, demo, "--only", "OpenFace") == 2
    assert run_script(monkeypatch, script, demo, "--runs", 0) == 2
    capfd.readouterr()
    words = [demo, "--only", "aucli", "--runs", 1, "--frames", 4]
    assert run_script(monkeypatch, script, *words) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "short.mp4: 4 frames of 640x360, 1 runs in turns"
    ways = [line.split(" | ") for line in lines if line.startswith("| aucli")]
    assert {way[0] for way in ways} >= {"| aucli", "| aucli, frame by frame"}
    assert all(float(way[2]) > 0 and way[4] == "4 |" for way in ways)
