"""The pipeline: order, equal bits, errors from every stage, no thread left behind."""

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from bright_faces import AUS, NONE, ONE, TWO, tiny_analyzer, tiny_networks, write_clip

from aucli import analyzer as analyzer_module
from aucli.align import align_matrices, warp_crops
from aucli.errors import InputError, OutputError
from aucli.models.predict import predict_crops
from aucli.pipeline import analysis as analysis_module
from aucli.pipeline import rows as rows_module
from aucli.pipeline.loading import Networks
from aucli.pipeline.stages import Stage
from aucli.records import FrameBatch
from aucli.table.schema import QUALITY
from aucli.table.writer import TableWriter
from aucli.video.source import open_video

GRAYS = [ONE, ONE, NONE, TWO, TWO, NONE, NONE] * 5 + [ONE]
FACES = [round(gray / 100) for gray in GRAYS]


@pytest.fixture(scope="module")
def models() -> Networks:
    return tiny_networks()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", GRAYS)


def run(clip: Path, models: Networks, **options) -> pa.Table:
    with tiny_analyzer(models, **options).open(clip) as analysis:
        return pa.Table.from_batches(analysis, analysis.columns.schema())


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("aucli-")]


def test_one_row_a_face_and_one_for_none_in_order(clip, models):
    table = run(clip, models)
    frames = [i + 1 for i, faces in enumerate(FACES) for _ in range(max(faces, 1))]
    ids = [face for faces in FACES for face in (range(faces) if faces else [None])]
    assert table["frame"].to_pylist() == frames
    assert table["face_id"].to_pylist() == ids
    assert table["success"].to_pylist() == [face is not None for face in ids]
    assert table["AU12_r"].is_null().to_pylist() == [face is None for face in ids]
    assert table["timestamp"].to_pylist() == pytest.approx([(f - 1) / 25 for f in frames])
    assert set(table["video"].to_pylist()) == {"clip.mp4"}
    assert own_threads() == []


def test_rows_equal_the_networks_run_by_hand(clip, models):
    table = run(clip, models, sides=True, places=True, landmarks_xy=True)
    batch = next(iter(open_video(clip)))
    _, faces = next(iter(models.faces.finder().find([batch])))
    face = faces[3][1]
    matrices = align_matrices(face.landmarks[None], "eyes-nose", 128)
    expected = predict_crops(models.au, warp_crops([batch.frames[3]], matrices, 128))
    row = table.to_pylist()[4]  # frames 0, 1, 2 have one row each
    assert (row["frame"], row["face_id"]) == (4, 1)
    for a, au in enumerate(AUS):
        assert row[f"{au}_r"] == pytest.approx(float(expected.intensities[0, a]), abs=1e-4)
        assert row[f"{au}_L"] == pytest.approx(float(expected.sides[0, a, 0]), abs=1e-4)
        side = int(expected.sides[0, a].argmax())
        place = matrices[0, :, :2] @ [row[f"{au}_x"], row[f"{au}_y"]] + matrices[0, :, 2]
        assert place == pytest.approx(expected.places[0, a, side], abs=0.05)
    assert row["x_30"] == face.landmarks[30, 0]
    assert row["face_w"] == pytest.approx(float(np.diff(face.bbox_xyxy_px[[0, 2]])[0]))
    assert [row["pose_Rx"], row["pose_Ry"], row["pose_Rz"]] == pytest.approx([0.1, -0.2, 0.3])


def test_two_runs_give_the_same_bits_whatever_the_timing(clip, models):
    slow_finder = tiny_networks(delay_seconds=0.05)
    first = run(clip, models)
    assert first.equals(run(clip, models))
    assert first.equals(run(clip, slow_finder))


def test_the_model_sees_full_batches_gathered_over_frames(clip, models, monkeypatch):
    sizes = []

    def spy(model, crops, **words):
        sizes.append(len(crops))
        return predict_crops(model, crops, **words)

    monkeypatch.setattr(rows_module, "predict_crops", spy)
    run(clip, models, batch_size=8)
    assert sum(sizes) == sum(FACES) == 31
    assert sizes == [8, 8, 8, 7]


def test_rows_do_not_wait_forever_for_a_full_batch(clip, models, monkeypatch):
    monkeypatch.setattr(rows_module, "MAX_PENDING_ROWS", 6)
    with tiny_analyzer(models, batch_size=1000).open(clip) as analysis:
        sizes = [len(batch) for batch in analysis]
    assert max(sizes) == 6


def test_selected_frame(clip, models):
    table = run(clip, models, every=7)
    assert table["frame"].to_pylist() == [1, 8, 15, 22, 29, 36]
    assert table["timestamp"].to_pylist() == pytest.approx([0.28 * i for i in range(6)])


def test_summary_counts_frames_faces_and_intensities(clip, models):
    calls = []
    analyzer = tiny_analyzer(models)
    with analyzer.open(clip, on_frames=lambda *n: calls.append(n)) as analysis:
        table = pa.Table.from_batches(analysis)
    summary = analysis.summary
    assert summary is not None
    assert (summary.frames, summary.face_frames, summary.face_rows) == (36, 21, 31)
    values = table["AU12_r"].drop_null().to_numpy()
    assert summary.levels is not None
    assert summary.levels["AU12"].median == pytest.approx(np.median(values), abs=0.011)
    assert summary.levels["AU12"].p95 == pytest.approx(np.quantile(values, 0.95), abs=0.02)
    assert set(summary.stage_seconds) == {"decode", "faces", "aus"}
    assert all(seconds > 0 for seconds in summary.stage_seconds.values())
    assert summary.damage == ""
    assert calls[-1] == (36, 36)


def test_a_video_without_faces_has_rows_but_no_intensities(tmp_path, models):
    clip = write_clip(tmp_path / "empty.mp4", [NONE] * 5)
    with tiny_analyzer(models).open(clip) as analysis:
        table = pa.Table.from_batches(analysis)
    assert table["success"].to_pylist() == [False] * 5
    assert analysis.summary is not None
    assert analysis.summary.levels is None


def test_a_truncated_file_keeps_its_rows_and_says_so(tmp_path, models):
    clip = write_clip(tmp_path / "whole.avi", [ONE] * 30)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with tiny_analyzer(models).open(cut) as analysis:
        table = pa.Table.from_batches(analysis)
    assert 5 < table.num_rows < 30
    assert analysis.summary is not None
    assert analysis.summary.report.truncated
    assert analysis.summary.damage.startswith("truncated after ")
    assert analysis.provenance()["input"]["truncated"] is True


def test_a_folder_of_pictures_uses_the_finder_for_stills(tmp_path, models):
    from PIL import Image

    for i, gray in enumerate([ONE, NONE]):
        Image.new("RGB", (96, 64), (gray,) * 3).save(tmp_path / f"{i}.png")
    networks: Any = tiny_networks()
    table = run(tmp_path, networks)
    assert networks.faces.unrelated == [True]
    assert table["success"].to_pylist() == [True, False]
    assert table["timestamp"].to_pylist() == [None, None]


def test_provenance_tells_how_the_rows_came_to_be(clip, models):
    with tiny_analyzer(models, presence=True).open(clip) as analysis:
        list(analysis)
        told = analysis.provenance()
    assert told["model"] == {"name": "tiny"}
    assert told["options"]["presence"] is True
    assert told["presence_threshold"] == 1.0
    assert len(told["input"]["sha256"]) == 64
    assert told["input"]["fps"] == 25
    assert (told["frames"], told["face_frames"]) == (36, 21)


class Stage3Error(RuntimeError):
    pass


@pytest.mark.parametrize("stage", ["decode", "faces", "aus"])
def test_an_error_of_any_stage_reaches_the_caller(clip, tmp_path, monkeypatch, stage):
    models = tiny_networks()
    if stage == "decode":

        def decode(source, *_):
            yield from [batch for batch in source][:1]
            raise Stage3Error(stage)

        monkeypatch.setattr(analysis_module, "_selected", decode)
    elif stage == "faces":

        def find(batches):
            yield from ((batch, [[] for _ in batch.frames]) for batch in batches)
            raise Stage3Error(stage)

        monkeypatch.setattr(models.faces, "find", find)
    else:

        def predict(*_, **_words):
            raise Stage3Error(stage)

        monkeypatch.setattr(rows_module, "predict_crops", predict)
    target = tmp_path / "out.parquet"
    with (
        pytest.raises(Stage3Error, match=stage),
        tiny_analyzer(models).open(clip) as analysis,
        TableWriter(target, analysis.columns.schema()) as writer,
    ):
        for batch in analysis:
            writer.write(batch)
    assert own_threads() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError])
def test_leaving_early_joins_the_threads(clip, models, error):
    before = torch.get_num_threads()
    analyzer = tiny_analyzer(models, batch_size=2)
    with pytest.raises(error), analyzer.open(clip) as analysis:
        for _ in analysis:
            assert len(own_threads()) > 0
            raise error
    assert own_threads() == []
    assert torch.get_num_threads() == before


def test_a_loop_that_is_left_without_with_stops_its_threads(clip, models):
    before = torch.get_num_threads()
    analyzer = tiny_analyzer(models, batch_size=2)
    for _ in analyzer.open(clip):
        assert len(own_threads()) > 0
        break
    gc.collect()
    assert own_threads() == []
    assert torch.get_num_threads() == before


def test_two_analyses_at_the_same_time(clip, models):
    before = torch.get_num_threads()
    analyzer = tiny_analyzer(models)
    first, second = analyzer.open(clip), analyzer.open(clip)
    pairs = list(zip(first, second, strict=True))
    assert all(a.equals(b) for a, b in pairs) and len(pairs) > 1
    assert own_threads() == []
    assert torch.get_num_threads() == before


def test_an_analysis_gives_its_rows_once(clip, models):
    analysis = tiny_analyzer(models).open(clip)
    assert list(analysis)
    with pytest.raises(RuntimeError, match="gives its rows once; open the input again"):
        iter(analysis)
    analysis.close()
    analysis.close()


def test_a_missing_file_is_told_at_once(models):
    with pytest.raises(InputError, match=r"nowhere.mp4"):
        tiny_analyzer(models).open("nowhere.mp4")


def test_a_stage_never_runs_further_ahead_than_told():
    made = []

    def work():
        for i in range(20):
            made.append(i)
            yield i

    with Stage("numbers", work(), 2) as stage:
        for i in stage:
            # One is with us, two wait, one may be in the worker's hand.
            assert len(made) <= i + 4
    assert made == list(range(20))
    assert own_threads() == []


def test_a_stage_that_waits_for_a_stage_stops_too():
    """The reader leaves while the second stage waits for a batch that does not come."""
    release = threading.Event()

    def slow():
        yield 1
        release.wait(10)

    with Stage("slow", slow(), 1) as first, Stage("fast", iter(first), 1, first) as second:
        assert next(iter(second)) == 1
        threading.Timer(0.05, release.set).start()
    assert own_threads() == []


def test_frame_batches_are_freed(clip, models, monkeypatch):
    """No more than a handful of batches is alive at any time."""
    alive: set[int] = set()
    most = 0
    original = analysis_module._selected
    monkeypatch.setattr(analyzer_module, "FRAMES_PER_BATCH", 2)

    def decode(*arguments):
        nonlocal most
        for batch in original(*arguments):
            first = int(batch.frame_index[0])
            frames = batch.frames.copy()
            alive.add(first)
            weakref.finalize(frames, alive.discard, first)
            most = max(most, len(alive))
            yield FrameBatch(frames, batch.frame_index, batch.pts_seconds)
            del frames, batch

    monkeypatch.setattr(analysis_module, "_selected", decode)
    assert run(clip, models).num_rows == 46
    # One in each stage and one before each, one more on its way between threads.
    assert 1 < most <= 6


def test_quality_is_judged_for_every_face_and_summed_up(clip, models):
    with tiny_analyzer(models).open(clip) as analysis:
        table = pa.Table.from_batches(analysis)
    words = table["quality"].to_pylist()
    assert [word is not None for word in words] == table["success"].to_pylist()
    # The faces are 30 px wide; what else holds for noise is no matter here.
    assert all("small" in word.split() for word in words if word is not None)
    assert analysis.summary is not None
    assert analysis.summary.quality["small"] == 1.0
    assert set(analysis.summary.quality) <= set(QUALITY)
