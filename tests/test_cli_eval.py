"""``aucli eval`` from the command line: what it prints and writes, and how it fails."""

import json
import sys
from pathlib import Path

import lookalikes
import numpy as np
import pytest
from bright_faces import AUS, HEIGHT, NONE, WIDTH, tiny_au_model, tiny_networks
from lookalikes import counting
from PIL import Image
from synthetic_faces import write_shards
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.analyzer import Analyzer
from aucli.aus import DISFA_AUS
from aucli.cli import app
from aucli.datasets.folds import FOLDS
from aucli.evaluation import sources
from aucli.evaluation.writing import number
from aucli.faces import loading
from aucli.models import fanau
from aucli.weights import cards

PLOTS = ("agreement.png", "calibration.png", "histograms.png", "scores.png")
FACELESS = 3  # frame of SN001 in which the look-alike shows no face


TABLES = ("--predictions", "x.csv", "--labels", "y.csv")
FACES = ("--dataset", "synthetic", "--root", "x")


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["eval", *(str(argument) for argument in arguments)])
    assert result.exit_code == code, result.output
    return result


def row_of(result: Result, au: str) -> list[str]:
    """The cells of an AU in the first table that is printed."""
    return next(line.split() for line in result.stdout.splitlines() if line.startswith(f" {au} "))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two people, AU12 and AU20; AU20 is never there."""
    lines = [f"S{s},v{s},{i + 1},{(i * (s + 1)) % 6},0" for s in range(2) for i in range(30)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["subject,video,frame,AU12,AU20", *lines]))
    return path


def openface(folder: Path, value=lambda level: level) -> Path:
    """OpenFace's tables of the labels' videos; the tenth frame has no face."""
    folder.mkdir()
    for s in range(2):
        lines = ["frame, timestamp, confidence, success, AU12_r, AU20_r"]
        for i in range(30):
            ok = i != 9
            au12 = value((i * (s + 1)) % 6) if ok else 0
            lines.append(f"{i + 1}, {i / 25}, 0.9, {int(ok)}, {au12}, {0.1 * (i % 3)}")
        (folder / f"v{s}.csv").write_text("\n".join(lines))
    return folder


def test_a_perfect_prediction_is_one(labels: Path, tmp_path: Path) -> None:
    result = run("--predictions", openface(tmp_path / "of"), "--labels", labels)
    #  frames, share of positives with its %, ICC, PCC, CCC, MAE, MSE, F1; with intervals
    row = row_of(result, "AU12")
    assert row[1:4] == ["58", "67.2", "%"]
    one, zero = ["1.00", "[1.00,", "1.00]"], [".00", "[.00,", ".00]"]
    assert row[4:] == [*one * 3, *zero * 2, *one]
    assert row_of(result, "AU20")[4:7] == ["n/a"] * 3
    assert "60 labelled frames of 2 subjects in 2 videos; 2 of them without a prediction "
    assert "(2 without a face, 0 without a row), left out." in result.stdout
    assert "within: computed within each subject" in result.stdout
    assert result.stderr == ""


def test_a_constant_is_na(labels: Path, tmp_path: Path) -> None:
    predictions = openface(tmp_path / "of", value=lambda level: 1.5)
    result = run("--predictions", predictions, "--labels", labels, "--resamples", 0)
    # A constant has no correlation; the other two are 0 by their formulas.
    assert row_of(result, "AU12")[4:7] == [".00", "n/a", ".00"]
    assert row_of(result, "mean")[1:6] == [".00", "(1)", "n/a", ".00", "(1)"]
    assert "Predicted as a constant: AU12." in result.stdout
    lacks = "left out of the mean: ICC(3,1), CCC, F1 ≥2 of AU20; PCC of AU12, AU20."
    assert lacks in result.stdout


def test_zeros_for_missing_faces(labels: Path, tmp_path: Path) -> None:
    predictions = openface(tmp_path / "of")
    result = run("--predictions", predictions, "--labels", labels, "--missing", "zero")
    assert row_of(result, "AU12")[1] == "60"
    assert float(row_of(result, "AU12")[4]) < 1
    assert "set to 0." in result.stdout


def test_files(labels: Path, tmp_path: Path) -> None:
    predictions = openface(tmp_path / "of", value=lambda level: 0.8 * level)
    command = ["--predictions", predictions, "--labels", labels, "--json", tmp_path / "out/a.json"]
    command += ["--markdown", tmp_path / "a.md", "--plots", tmp_path / "plots", "--resamples", 50]
    run(*command)
    found = json.loads((tmp_path / "out/a.json").read_text())
    assert found["counts"]["missing"] == found["counts"]["no_face"] == 2
    assert found["origin"]["tool"] == "OpenFace"
    pooled = found["scores"]["pooled"]
    assert pooled["AU12"]["icc31"]["value"] == pytest.approx(2 * 0.8 / (1 + 0.8**2))
    assert pooled["AU12"]["pcc"]["value"] == pytest.approx(1)
    assert pooled["AU20"]["icc31"] == {"value": None, "low": None, "high": None}
    text = (tmp_path / "a.md").read_text()
    assert "| AU | frames | ≥2 | ICC(3,1) | PCC | CCC | MAE | MSE | F1 ≥2 |\n" in text
    assert "| AU20 | 58 | 0.0 % | n/a | n/a | n/a | .10 " in text
    for name in PLOTS:
        pixels = np.asarray(Image.open(tmp_path / "plots" / name).convert("L"))
        assert pixels.shape[1] >= 700
        assert 0.01 < (pixels < 128).mean() < 0.6  # something is drawn, on white
    again = run(*command, code=1)
    assert again.stderr == (
        f"aucli: {tmp_path / 'out/a.json'} exists already; "
        "--overwrite (overwrite=True) replaces it.\n"
    )
    run(*command[:6], "--overwrite")


def test_plots_need_matplotlib(labels: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("--predictions", "x", "--labels", labels, "--plots", tmp_path / "p", code=1)
    assert result.stderr == (
        "aucli: Plots need matplotlib, which is not installed; pip install 'aucli[report]'.\n"
    )


def test_plots_of_probabilities(labels: Path, tmp_path: Path) -> None:
    rows = [f"{i},{0.9},{(i % 6) / 6}" for i in range(30)]
    path = tmp_path / "v0.csv"
    path.write_text("\n".join(["frame,FaceScore,AU12", *rows]))
    result = run("--predictions", path, "--labels", labels, "--plots", tmp_path / "p")
    assert "The predictions are probabilities, not intensities" in result.stdout
    assert "Not scored, since without predictions: v1." in result.stdout
    cells = row_of(result, "AU12")
    assert cells[4:] == ["n/a", "1.00", "n/a", "n/a", "n/a", ".86"]
    assert (tmp_path / "p" / "scores.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give --predictions and --labels, or --dataset and --root."),
        (("--predictions", "x.csv"), 2, "--predictions needs --labels."),
        (
            (*TABLES, "--folds", "arl", "--fold", "P1", "--camera", "left", "--published"),
            2,
            "--camera, --folds, --fold, --published have no effect on labels without --dataset.",
        ),
        ((*TABLES, "--model", "m"), 2, "--model has no effect on --predictions."),
        (
            (*TABLES, "--device", "cpu", "--threads", "2", "--faces", "9", "--detector", "sfd"),
            2,
            "--detector, --device, --threads, --faces have no effect on --predictions.",
        ),
        ((*TABLES, "--dataset", "synthetic"), 2, "--dataset synthetic has no effect on --pred"),
        (
            ("--dataset", "disfa", "--root", "x", "--format", "openface", "--faces", "3"),
            2,
            "--format has no effect on --dataset and --root.",
        ),
        (("--dataset", "disfa", "--root", "x", "--faces", "3"), 2, "--faces has no effect on"),
        ((*TABLES, "--seed", "-1"), 2, "Invalid value for '--seed'"),
        ((*TABLES, "--json", "a", "--markdown", "a"), 2, "--json and --markdown name the same"),
        ((*TABLES, "--json", ".", "--overwrite"), 1, "aucli: . is a folder; name a file."),
        (("--dataset", "disfa", "--root", "x", "--fold", "P1"), 2, "--fold needs --folds."),
        (
            (*FACES, "--folds", "arl", "--camera", "left", "--missing", "zero", "--match", "time"),
            2,
            "--camera, --folds, --match, --missing have no effect on --dataset synthetic.",
        ),
        ((*FACES, "--allow-seen"), 2, "--allow-seen has no effect on --dataset synthetic."),
        ((*FACES, "--batch-size", "3"), 2, "--batch-size has no effect on --dataset synthetic."),
        ((*TABLES, "--resamples", "0", "--seed", "1"), 2, "--seed has no effect on --resamples 0."),
        (
            ("--dataset", "unbc", "--root", "x", "--published"),
            2,
            "--published has no effect on --dataset unbc.",
        ),
        (
            (
                *FACES,
                "--profile",
                "accurate",
                "--model",
                "m",
                "--detector",
                "d",
                "--landmarks",
                "l",
            ),
            2,
            "--profile has no effect on networks that are all named.",
        ),
        ((*FACES, "--model", "nope"), 2, "model: no AU network is named 'nope'; known are: "),
        (("--dataset", "synthetic"), 2, "give --predictions and --labels, or --dataset and"),
        (("--predictions", "x.csv", "--labels", "y.csv"), 1, "aucli: x.csv does not exist;"),
        (
            ("--dataset", "disfa", "--root", "x", "--model", "a/{fold}.safetensors"),
            2,
            "{fold} needs --folds.",
        ),
        (
            ("--dataset", "disfa", "--root", "x", "--positive", "nan"),
            2,
            "Invalid value for '--positive'",
        ),
        (
            ("--dataset", "disfa", "--root", "x", "--folds", "nobody"),
            2,
            "DISFA has no folds 'nobody'; there are jaanet, ntinou, arl.",
        ),
    ],
)
def test_mistakes(arguments: tuple[str, ...], code: int, message: str) -> None:
    assert message in run(*arguments, code=code).stderr


def picture(subject: str, frame_index: int) -> np.ndarray:
    if subject == "SN001" and frame_index == FACELESS:
        return np.full((HEIGHT, WIDTH, 3), NONE, np.uint8)
    return lookalikes.gray(subject, frame_index)


@pytest.fixture(scope="module")
def disfa_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lookalikes.disfa(tmp_path_factory.mktemp("data") / "disfa", picture=picture)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.setattr(loading, "load_faces", lambda *_, **__: tiny_networks().faces)
    monkeypatch.setattr(sources, "load_au_model", lambda *_: tiny_au_model())
    monkeypatch.setattr(sources, "read_card", lambda *_: (None, {}))


def test_a_tool_on_a_dataset(disfa_root: Path, tmp_path: Path) -> None:
    """Perfect tables, named like the videos; the folds take the subjects that are there."""
    folder = tmp_path / "of"
    folder.mkdir()
    for subject in ("SN001", "SN010", "SN031"):
        lines = ["frame,timestamp,success," + ",".join(f"{au}_r" for au in DISFA_AUS)]
        for i in range(6):
            values = [counting(subject, au, i) for au in DISFA_AUS]
            lines.append(",".join(map(str, [i + 1, i / 20, 1, *values])))
        (folder / f"LeftVideo{subject}_comp.csv").write_text("\n".join(lines))
    command = ["--predictions", folder, "--dataset", "disfa", "--labels", disfa_root]
    result = run(*command, "--published", "--json", tmp_path / "a.json")
    assert row_of(result, "AU26")[1] == "17"  # SN010 has a label less
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["scores"]["pooled"]["mean"]["icc31"]["value"] == pytest.approx(1)
    assert "Published by others, each under its own protocol: not a ranking." in result.stdout
    assert "CSN-IR50" in result.stdout
    assert len(found["published"]["rows"]) == 10

    result = run(*command, "--folds", "jaanet")  # P1: SN001, SN010; P2: SN031
    assert "folds: computed within each fold's test subjects" in result.stdout
    assert "Split: test subjects of jaanet, all folds." in result.stdout
    assert "Test subjects that are not there (24): SN002, SN009, " in result.stdout
    result = run(*command, "--folds", "jaanet", "--fold", 1)
    assert row_of(result, "AU26")[1] == "6"
    message = run(*command, "--folds", "arl", code=1).stderr
    assert message.endswith("disfa has none of the test subjects of arl, all folds; give others.\n")
    message = run(*command, "--folds", "arl", "--fold", 1, code=2).stderr
    assert message.endswith("arl has no fold 1; its folds are arl (0).\n")
    message = run(*command, "--camera", "top", code=2).stderr
    assert message.endswith("DISFA has no camera 'top'; there are left, right.\n")


def test_a_model_on_videos_is_what_analyze_writes(
    disfa_root: Path, tmp_path: Path, stand_ins: None
) -> None:
    command = ["--dataset", "disfa", "--root", disfa_root, "--device", "cpu"]
    run(*command, "--json", tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["frames"] == dict.fromkeys(AUS, 16)
    assert found["counts"]["no_face"] == found["counts"]["missing"] == 1

    videos = disfa_root / "Videos_LeftCamera"
    outcomes = Analyzer(device="cpu").tables(videos, tmp_path / "tables")
    assert all(outcome.ok for outcome in outcomes)
    command = ["--predictions", tmp_path / "tables", "--dataset", "disfa", "--labels", disfa_root]
    run(*command, "--json", tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["scores"] == found["scores"]


def test_a_model_on_prepared_faces(disfa_root: Path, tmp_path: Path, stand_ins: None) -> None:
    prepare = ["prepare", "--dataset", "disfa", "--root", str(disfa_root), "--size", "64"]
    prepare += ["--out", str(tmp_path / "faces")]
    assert CliRunner().invoke(app, prepare).exit_code == 0
    command = ["--dataset", "disfa", "--root", tmp_path / "faces", "--device", "cpu"]
    result = run(*command, "--folds", "jaanet", "--model", "{fold}.safetensors")
    assert row_of(result, "AU12")[1] == "16"
    assert "17 labelled frames of 3 subjects in 3 videos; 1 of them without" in result.stdout
    assert "(1 without a face, 0 without a row), left out." in result.stdout
    assert "(prepared faces)" in result.stdout
    message = run(*command, "--missing", "zero", code=2).stderr
    assert "--missing zero has no effect on a prepared set." in message
    options = ["--batch-size", 3, "--detector", "sfd", "--profile", "accurate", "--model", "m"]
    message = run(*command, *options, code=2).stderr
    assert "--detector, --batch-size, --profile have no effect on a prepared set." in message
    message = run("--dataset", "bp4d", "--root", tmp_path / "faces", code=1).stderr
    assert "faces was prepared from disfa; name that dataset (--dataset disfa, dataset=" in message


def test_people_of_the_training_are_refused(
    disfa_root: Path, stand_ins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = FOLDS["disfa"]["jaanet"]["P1"]  # SN031 is not in its test part
    card = {"provenance": {"train_subjects": {"disfa": fold.train}}}
    monkeypatch.setattr(sources, "read_card", lambda *_: (None, card))
    command = ["--dataset", "disfa", "--root", disfa_root, "--device", "cpu", "--resamples", 0]
    message = run(*command, code=1).stderr
    assert message.startswith("aucli: 1 person is both trained on and tested (disfa SN031)")
    result = run(*command, "--allow-seen")
    assert "The model was trained on people who are tested here: disfa SN031." in result.stdout
    result = run(*command, "--folds", "jaanet", "--fold", "P1")
    assert "Split: test subjects of jaanet, fold P1." in result.stdout
    assert "11 labelled frames of 2 subjects" in result.stdout


def test_rendered_faces_are_scored_like_all_others(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "faces", shards=1)
    files = ["--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md"]
    files += ["--plots", tmp_path / "plots"]
    command = ["--dataset", "synthetic", "--root", shards, "--resamples", 20, "--device", "cpu"]
    result = run(*command, *files)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["counts"]["labelled"] == 2
    assert found["origin"]["split"] == "people held out of training"
    pooled = found["scores"]["pooled"]
    assert pooled["AU09"]["icc31"]["value"] is None  # never there
    assert "AU09" not in found["mean_over"]["pooled"]["icc31"]
    assert found["places"]["AU09"] is None and found["landmarks"]["nme"] > 0
    assert set(found["detector"]) == {"ap", "recall_95", "mean_iou"}
    strata = found["strata"]  # drawn faces tell neither family nor age; all look ahead
    assert list(strata) == ["all", "yaw up to 30", "yaw 0-17", "small"]
    assert strata["all"] == strata["yaw 0-17"] and strata["all"]["faces"] == 2
    assert strata["all"]["nme"] == pytest.approx(found["landmarks"]["nme"])
    assert strata["all"]["nme_followed"] == pytest.approx(found["following"]["nme_followed"])
    assert strata["all"]["gaze"] is None and strata["small"]["nme"] != strata["all"]["nme"]
    assert row_of(result, "small")[1] == "2"
    cell = row_of(result, "AU12")[4]
    assert cell == number(pooled["AU12"]["icc31"]["value"])
    text = (tmp_path / "a.md").read_text()
    for title in ("## Places", "## Landmarks", "## Detector"):
        assert title in text
    assert "builtin-landmarks: distance of the landmarks from the true ones" in result.stdout
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(PLOTS)
    other = tmp_path / "other"
    net = fanau.FANAU(1).eval()
    card = {"aus": ["AU43"], "template": "fan", "crop_size": 256, "maps": ["AU43"]}
    cards.save_weights(other, net, {**card, "provenance": "", "metrics": {}})
    message = run(*command, "--model", f"{other}.safetensors", code=1).stderr
    assert message == "aucli: Rendered faces do not show AU43.\n"
    card |= {"aus": ["AU12"], "maps": ["AU12"]}
    cards.save_weights(other, net, {**card, "provenance": "", "metrics": {}})
    run(*command, "--model", f"{other}.safetensors", "--json", tmp_path / "b.json")
    assert list(json.loads((tmp_path / "b.json").read_text())["frames"]) == ["AU12"]
    message = run(*command, "--detector", "sfd", code=2).stderr
    assert "built-in kind only; name one, such as builtin." in message


def test_rendered_people_have_intervals_and_plots(tmp_path: Path) -> None:
    """Three people of two faces: too few faces for a point of the calibration curve."""
    shards = write_shards(tmp_path / "faces", shards=2, faces=48)
    command = ["--dataset", "synthetic", "--root", shards, "--device", "cpu", "--threads", 1]
    command += ["--resamples", 20, "--plots", tmp_path / "plots", "--json", tmp_path / "a.json"]
    result = run(*command, "--positive", 3, "--faces", 6)
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["subjects"], found["counts"]["labelled"]) == (3, 6)
    error = found["scores"]["pooled"]["AU12"]["mae"]
    assert error["low"] < error["value"] < error["high"]
    assert "Intervals, in brackets: the middle 95 % of 20 bootstrap samples" in result.stdout
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(PLOTS)


def test_a_report_never_takes_the_place_of_what_it_reads(labels: Path, tmp_path: Path) -> None:
    """Neither the labels, nor a table in the folder of predictions, nor a link to one."""
    folder = openface(tmp_path / "of")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "scores.png").symlink_to(labels)
    (tmp_path / "link.json").hardlink_to(folder / "v1.csv")
    before = [labels.read_bytes(), (folder / "v1.csv").read_bytes()]
    for words in (
        ("--json", labels),
        ("--markdown", folder / "v0.csv"),
        ("--json", tmp_path / "link.json"),
        ("--plots", tmp_path / "plots"),
    ):
        command = ("--predictions", folder, "--labels", labels, *words, "--overwrite")
        result = run(*command, code=2)
        told = " ".join(result.stderr.split())
        assert "is an input; a report never takes its place, so name another place." in told
    assert [labels.read_bytes(), (folder / "v1.csv").read_bytes()] == before
