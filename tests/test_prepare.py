"""``aucli prepare``: what is written, what is left out and told, and that a killed run resumes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lookalikes
import numpy as np
import pytest
from bright_faces import HEIGHT, NONE, WIDTH, tiny_networks
from lookalikes import gray, landmarks66
from typer.testing import CliRunner, Result

from aucli.align import apply_matrices, face_boxes, square_matrices
from aucli.cli import app
from aucli.datasets import disfa, prepared
from aucli.datasets.adapters import load_labels
from aucli.datasets.prepare import PrepareConfig, prepare
from aucli.datasets.prepared import PreparedFaces
from aucli.errors import DataError
from aucli.faces import loading
from aucli.video.source import open_video

TESTS = Path(__file__).resolve().parent
DEMO = TESTS.parent / "examples" / "demo.mp4"
load_faces = loading.load_faces  # of the program; the tests below have stand-ins


@pytest.fixture(scope="module")
def disfa_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lookalikes.disfa(tmp_path_factory.mktemp("data") / "disfa")


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = tiny_networks().faces
    monkeypatch.setattr(loading, "load_faces", lambda *_, **__: networks)


def run(dataset: str, root: Path, out: Path, *more: object) -> Result:
    command = ["prepare", "--dataset", dataset, "--root", root, "--out", out, "--size", 64, *more]
    return CliRunner().invoke(app, [str(part) for part in command])


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def dropped(out: Path) -> list[tuple[str, ...]]:
    with (out / "dropped.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["subject", "video", "reason", "first", "last", "frames"]
    return [tuple(row) for row in rows[1:]]


@pytest.mark.parametrize("dataset", lookalikes.WRITERS)
def test_every_dataset_becomes_faces_with_its_labels(tmp_path: Path, dataset: str) -> None:
    root, out = lookalikes.WRITERS[dataset](tmp_path / "data"), tmp_path / "out"
    result = run(dataset, root, out)
    assert (result.exit_code, result.stdout) == (0, f"{out}\n"), result.stderr
    expected = load_labels(dataset, root)
    faces = PreparedFaces(out)
    order = ["video", "frame_index"]
    ours, theirs = (t.sort_values(order, ignore_index=True) for t in (faces.labels, expected))
    assert ours.astype(object).equals(theirs.astype(object))
    assert len(faces) == len(faces.landmarks) == len(expected)
    assert faces.image(0).shape == (64, 64, 3)
    manifest = prepared.read_manifest(out)
    assert manifest["faces"] == len(expected)
    assert manifest["settings"]["dataset"] == dataset
    assert set(manifest["dropped"]) <= {"not coded"}
    assert {r["video"] for r in manifest["recordings"]} == set(expected["video"])
    first = str(expected["subject"].iloc[0])
    one = PreparedFaces(out, subjects=[first])
    assert one.labels["subject"].unique().tolist() == [first]


def test_landmarks_are_where_they_were_in_the_frame(tmp_path: Path) -> None:
    """A black square on the chin of the face that the stand-in always sees."""
    chin = (24, 40)  # frame px, about the landmark 8

    def marked(subject: str, frame_index: int) -> np.ndarray:
        pixels = np.full((HEIGHT, WIDTH, 3), 105, np.uint8)
        pixels[chin[1] - 2 : chin[1] + 3, chin[0] - 2 : chin[0] + 3] = 0
        return pixels

    root = lookalikes.disfa_plus(tmp_path / "data", frames=1, picture=marked)
    assert run("disfa-plus", root, tmp_path / "out").exit_code == 0
    faces = PreparedFaces(tmp_path / "out")
    finder = tiny_networks().faces.finder()
    shape = finder._faces(marked("", 0))[0].landmarks[None]  # pyright: ignore
    matrices = square_matrices(face_boxes(shape), 64, prepared.CROP_SCALE)
    assert faces.landmarks[0] == pytest.approx(apply_matrices(shape, matrices)[0], abs=1e-4)
    boxes = face_boxes(faces.landmarks[:1])[0]
    assert max(boxes[2:] - boxes[:2]) == pytest.approx(64 / prepared.CROP_SCALE)
    assert (boxes[:2] + boxes[2:]) / 2 == pytest.approx([31.5, 31.5])
    x, y = apply_matrices(np.array([[chin]], float), matrices)[0, 0].round().astype(int)
    image = faces.image(0)
    assert image[y, x].max() < 30 and image[y, x - 12].min() > 90


def test_every_frame_left_out_has_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disfa, "BAD_RANGES", {"SN001": ((2, 3),)})

    def some(subject: str, frame_index: int) -> np.ndarray:
        hidden = subject == "SN031" and frame_index in (1, 2, 5)
        return np.full((HEIGHT, WIDTH, 3), NONE, np.uint8) if hidden else gray("", 0)

    root, out = lookalikes.disfa(tmp_path / "disfa", picture=some), tmp_path / "out"
    result = run("disfa", root, out)
    assert dropped(out) == [
        ("SN001", "SN001", "bad range", "1", "2", "2"),
        ("SN010", "SN010", "not coded", "5", "5", "1"),
        ("SN031", "SN031", "no face", "1", "2", "2"),
        ("SN031", "SN031", "no face", "5", "5", "1"),
    ]
    assert prepared.read_manifest(out)["dropped"] == {"bad range": 2, "no face": 3, "not coded": 1}
    assert "12 faces of 3 recordings; dropped: 2 bad range, 3 no face, 1 not coded" in result.stderr
    assert "24 subjects of the dataset are not in" in result.stderr


def test_unscorable_and_unreadable_frames(tmp_path: Path) -> None:
    def nines(subject: str, au: str, frame_index: int) -> int:
        return 9 if subject == "F001" and frame_index == 3 else 1

    root, out = lookalikes.bp4d(tmp_path / "bp4d", intensity=nines), tmp_path / "out"
    (root / "Sequences_2D+3D/F002/T1/0013.jpg").write_bytes(b"no picture")
    result = run("bp4d", root, out, "--subjects", "F001, F002")
    assert result.exit_code == 0, result.stderr
    rows = [row[1:] for row in dropped(out) if row[1].endswith("T1")]
    assert rows == [
        ("F001_T1", "not coded", "0", "1", "2"),
        ("F001_T1", "unscorable", "3", "3", "1"),
        ("F001_T1", "not coded", "6", "7", "2"),
        ("F002_T1", "not coded", "0", "1", "2"),
        ("F002_T1", "unreadable", "4", "4", "1"),
        ("F002_T1", "not coded", "6", "7", "2"),
    ]
    assert "subjects of the dataset" not in result.stderr


def test_each_second_frame(disfa_root: Path, tmp_path: Path) -> None:
    assert run("disfa", disfa_root, tmp_path / "out", "--every", 2).exit_code == 0
    frames = PreparedFaces(tmp_path / "out").labels["frame_index"].tolist()
    assert frames == [0, 2, 4] * 3
    assert dropped(tmp_path / "out") == []


def test_landmarks_of_the_dataset(disfa_root: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(disfa_root, tmp_path / "disfa"))
    next(root.rglob("SN001_0003_lm.mat")).unlink()
    result = run("disfa", root, tmp_path / "out", "--landmarks", "dataset")
    assert result.exit_code == 0, result.stderr
    assert dropped(tmp_path / "out")[0] == ("SN001", "SN001", "no landmarks", "3", "3", "1")
    faces = PreparedFaces(tmp_path / "out")
    # The same face in every frame, wherever it moves.
    assert np.ptp(faces.landmarks, axis=0).max() < 1e-3
    eyes = landmarks66(0)[36] - landmarks66(0)[45]
    ours = faces.landmarks[0, 36] - faces.landmarks[0, 45]
    assert ours[1] / ours[0] == pytest.approx(eyes[1] / eyes[0], abs=1e-4)
    assert prepared.read_manifest(tmp_path / "out")["settings"]["landmarks"] == "dataset"


def test_a_dataset_without_landmarks(disfa_root: Path, tmp_path: Path) -> None:
    result = run(
        "disfa", disfa_root, tmp_path / "out", "--landmarks", "dataset", "--camera", "right"
    )
    assert (result.exit_code, result.stderr) == (
        1,
        f"aucli: {disfa_root} holds no landmarks for this camera; let a network find them.\n",
    )
    assert not (tmp_path / "out").exists()


def test_a_killed_run_resumes_to_the_same_files(disfa_root: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run("disfa", disfa_root, whole).exit_code == 0
    command = [sys.executable, "bright_faces.py", "prepare", "--dataset", "disfa", "--size", "64",
               "--root", str(disfa_root), "--out", str(killed)]  # fmt: skip
    process = subprocess.Popen(command, cwd=TESTS, stderr=subprocess.PIPE)
    while not (killed / "faces" / "SN001.parquet").exists():
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert "faces/SN031.parquet" not in files(killed)
    before = (killed / "faces" / "SN001.parquet").stat().st_mtime_ns
    assert run("disfa", disfa_root, killed).exit_code == 0
    assert files(killed) == files(whole)
    assert (killed / "faces" / "SN001.parquet").stat().st_mtime_ns == before
    assert sorted(files(whole)) == [
        "dropped.csv", "faces/SN001.parquet", "faces/SN010.parquet", "faces/SN031.parquet",
        "manifest.json",
    ]  # fmt: skip


def test_a_broken_recording_is_told_and_the_others_go_on(disfa_root: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(disfa_root, tmp_path / "disfa"))
    labels = root / "ActionUnit_Labels/SN010/SN010_au2.txt"
    right = labels.read_text()
    labels.write_text(right.replace("2,", "2;"))
    film = root / "Videos_LeftCamera/LeftVideoSN031_comp.avi"
    content = film.read_bytes()
    film.write_bytes(content[: len(content) // 2])
    result = run("disfa", root, tmp_path / "out", "--quiet")
    told = result.stderr.splitlines()
    assert result.exit_code == 1 and len(told) == 2
    assert told[0] == (
        f"aucli: {labels}, line 2: '2;{right.split()[1][2:]}' is not a frame and its intensity; "
        "restore the file."
    )
    assert str(film) in told[1] and told[1].endswith(".")
    assert sorted(files(tmp_path / "out" / "faces")) == ["SN001.parquet"]
    assert len(prepared.read_manifest(tmp_path / "out")["problems"]) == 2
    # Repaired, the run completes the set; it is what an undisturbed one would have written.
    labels.write_text(right)
    film.write_bytes(content)
    assert run("disfa", root, tmp_path / "out").exit_code == 0
    assert run("disfa", root, tmp_path / "new").exit_code == 0
    assert files(tmp_path / "out") == files(tmp_path / "new")


def test_labels_behind_the_end_of_the_film(disfa_root: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(disfa_root, tmp_path / "disfa"))
    film = root / "Videos_LeftCamera/LeftVideoSN001_comp.avi"
    lookalikes.write_film(film, [gray("", 0)] * 4)
    result = run("disfa", root, tmp_path / "out", "--quiet")
    assert (result.exit_code, result.stderr) == (
        1,
        f"aucli: {root}/ActionUnit_Labels/SN001/SN001_au1.txt, line 5: frame 5 is labelled, but "
        f"{film} ends after 4 frames; copy the video again.\n",
    )


def test_nothing_is_written_over(disfa_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    result = run("disfa", disfa_root, out)
    assert (result.exit_code, result.stderr) == (
        1, f"aucli: {out} exists and is not a prepared set; use another out folder.\n"
    )  # fmt: skip
    assert files(out) == {"notes.txt": b"mine"}
    done = tmp_path / "done"
    done.mkdir()
    (done / ".manifest.json.0a1b2c3d.part").write_text("{")  # killed at the very start
    assert run("disfa", disfa_root, done, "--subjects", "SN001").exit_code == 0
    before = files(done)
    result = run("disfa", disfa_root, done, "--every", 2, "--camera", "right")
    assert (result.exit_code, result.stderr) == (
        1,
        f"aucli: {done} holds a set that was prepared with another camera and every; "
        "use another out folder.\n",
    )
    assert files(done) == before
    # More subjects of the same settings are added.
    assert run("disfa", disfa_root, done).exit_code == 0
    after = files(done)
    assert after["faces/SN001.parquet"] == before["faces/SN001.parquet"]
    assert json.loads(after["manifest.json"])["faces"] == 17


def test_check(disfa_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["prepare", "--dataset", "disfa", "--check", "--root"]
    result = CliRunner().invoke(app, [*command, str(disfa_root)])
    lines = result.stdout.splitlines()
    assert (result.exit_code, len(lines)) == (1, 24)
    assert lines[0] == f"SN002 is missing in {disfa_root}; copy it from the dataset."
    result = CliRunner().invoke(app, [*command, str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"aucli: {tmp_path} holds no folder ActionUnit_Labels; give")
    monkeypatch.setattr("aucli.datasets.adapters.missing_subjects", lambda *_: [])
    result = CliRunner().invoke(app, [*command, str(disfa_root)])
    assert (result.exit_code, result.stdout) == (
        0, "complete: 3 subjects, 3 recordings, 17 labelled frames\n"
    )  # fmt: skip


def test_a_label_file_that_is_cut_short_is_told(disfa_root: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(disfa_root, tmp_path / "disfa"))
    labels = root / "ActionUnit_Labels/SN010/SN010_au12.txt"
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join(lines[:-2]))
    told = (
        f"warning: {labels} lacks 2 frames that other AUs of the recording have, so these have no "
        "AU12; copy it again if that is wrong.\n"
    )
    result = run("disfa", root, tmp_path / "out")
    assert (result.exit_code, result.stderr.count(told)) == (0, 1)
    command = ["prepare", "--dataset", "disfa", "--check", "--root", str(root)]
    assert told in CliRunner().invoke(app, command).stderr
    assert "lacks" not in run("disfa", disfa_root, tmp_path / "whole").stderr


def test_labels_that_have_changed_are_told(disfa_root: Path, tmp_path: Path) -> None:
    root, out = Path(shutil.copytree(disfa_root, tmp_path / "disfa")), tmp_path / "out"
    assert run("disfa", root, out).exit_code == 0
    assert run("disfa", root, out).exit_code == 0
    labels = root / "ActionUnit_Labels/SN010/SN010_au12.txt"
    frame, _, value = labels.read_text().splitlines()[0].partition(",")
    other = f"{frame},{(int(value) + 1) % 6}"
    labels.write_text("\n".join([other, *labels.read_text().splitlines()[1:]]) + "\n")
    shard = prepared.shard_path(out, "SN010")
    before = files(out / "faces")
    result = run("disfa", root, out, "--quiet")
    assert (result.exit_code, result.stderr) == (
        1,
        f"aucli: {shard} was made with other labels than those of {root} now; delete it and run "
        "this again.\n",
    )
    assert files(out / "faces") == before
    shard.unlink()
    assert run("disfa", root, out).exit_code == 0
    assert run("disfa", root, tmp_path / "new").exit_code == 0
    assert files(out) == files(tmp_path / "new")


def test_subjects_may_end_in_a_comma_and_must_name_somebody(
    disfa_root: Path, tmp_path: Path
) -> None:
    assert run("disfa", disfa_root, tmp_path / "a", "--subjects", "SN001, ,").exit_code == 0
    assert len(files(tmp_path / "a" / "faces")) == 1
    for nobody in ("", ","):
        result = run("disfa", disfa_root, tmp_path / "b", "--subjects", nobody)
        assert result.exit_code == 2 and "names nobody." in result.stderr


def test_options_without_effect_are_refused(disfa_root: Path) -> None:
    command = ["prepare", "--dataset", "disfa", "--root", str(disfa_root)]
    result = CliRunner().invoke(app, [*command, "--check", "--out", "x", "--every", "3"])
    assert result.exit_code == 2
    assert "--out, --every have no effect on --check." in result.stderr
    command += ["--out", "x", "--landmarks", "dataset", "--detector", "sfd", "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "--detector, --device have no effect on --landmarks dataset." in result.stderr


def test_wrong_usage(disfa_root: Path) -> None:
    result = CliRunner().invoke(app, ["prepare", "--dataset", "disfa", "--root", str(disfa_root)])
    assert result.exit_code == 2 and "give a folder for the faces" in result.stderr
    result = CliRunner().invoke(app, ["prepare", "--dataset", "affectnet", "--root", "."])
    assert result.exit_code == 2
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        PrepareConfig("disfa", disfa_root, Path("out"), every=0)


def test_reading_what_is_no_prepared_set(disfa_root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest.json is missing; make the set with `aucli prep"):
        PreparedFaces(tmp_path)
    config = PrepareConfig("disfa", disfa_root, tmp_path / "out", subjects=("SN001",), size=64)
    counted: list[int] = []
    summary = prepare(
        config, tiny_networks().faces, on_start=counted.append, on_progress=counted.append
    )
    assert (summary.faces, summary.recordings, summary.absent, counted) == (6, 1, (), [6, 6])
    with pytest.raises(DataError, match="holds no face of these subjects"):
        PreparedFaces(tmp_path / "out", subjects=["SN002"])


@pytest.mark.parametrize("tail", [0x00, 0x1A])
def test_a_face_that_is_gone_is_not_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: int
) -> None:
    monkeypatch.setattr(loading, "load_faces", load_faces)
    with open_video(DEMO) as source:
        shown = next(iter(source)).frames[:8]
    gone = np.full_like(shown[0], tail)

    def picture(subject: str, index: int) -> np.ndarray:
        return shown[index] if index < len(shown) and subject != "SN031" else gone

    root = lookalikes.disfa(tmp_path / "disfa", 30, picture)
    assert run("disfa", root, tmp_path / "out").exit_code == 0
    runs = {(row[0], row[2]): row[3:] for row in dropped(tmp_path / "out")}
    assert runs["SN031", "no face"] == ("0", "29", "30")
    first, last, _ = map(int, runs["SN001", "no face"])
    assert 8 <= first <= 16 and last == 29
