"""A path is a file, whatever its name or content looks like; what is no file is named."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from video_clips import write_clip

from aucli.errors import InputError
from aucli.video.source import open_video

NAMES = ["2024-01-01T10:30:00.mp4", "http:x.mp4", "concat:a.mp4", "pipe:0", "-x.mp4", "a%03d.mp4",
         "subfile,,start,0,end,9,,:a.mp4", "file:a.mp4", "a?b*c[d].mp4"]  # fmt: skip
LISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile {}\n",
    "call.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_an_address_or_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, decoder
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "plain.mp4").rename(name)
    with open_video(name, decoder) as source:
        assert sum(len(batch) for batch in source) == 20
        assert source.report.decoder == ("pyav" if decoder == "pyav" else "decord")


@pytest.mark.parametrize("name", LISTS)
def test_lists_open_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "other.ts")
    Path(name).write_text(LISTS[name].format("other.ts"))
    with pytest.raises(InputError) as error:
        open_video(name)
    assert str(error.value) == (
        f"{name} cannot be opened as a video (it only lists other files); "
        "give a complete video, image or folder of images."
    )


@pytest.mark.parametrize("kind", ["a named pipe", "a device", "a socket"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path = Path(os.devnull)
    else:
        monkey = socket.socket(socket.AF_UNIX)
        monkey.bind(os.path.relpath(path))
        monkey.close()
    with pytest.raises(InputError) as error:
        open_video(path)
    assert str(error.value) == f"{path} is {kind}; save the video as a file and give that."


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_analyze_makes_no_connection(tmp_path: Path) -> None:
    write_clip(tmp_path / "http:a.mp4")
    (tmp_path / "list.m3u8").write_text(LISTS["list.m3u8"].format("http://127.0.0.1:9/a.ts"))
    log = tmp_path / "calls"
    command = ["strace", "-f", "-o", str(log), "-e", "trace=socket,connect",
               sys.executable, "-m", "aucli", "analyze", "./http:a.mp4", "list.m3u8",
               "-o", "out"]  # fmt: skip
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if "Operation not permitted" in run.stderr:
        pytest.skip("strace may not trace here")
    assert (tmp_path / "out" / "http:a.parquet").exists(), run.stderr
    assert "it only lists other files" in run.stderr
    assert [line for line in log.read_text().splitlines() if "AF_INET" in line] == []
