"""Numbers of things in sentences."""

from aucli.words import counted, were


def test_one_takes_no_s_and_was() -> None:
    assert [counted(n, "face") for n in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]
    assert [were(n, "frame") for n in (1, 3)] == ["1 frame was", "3 frames were"]
    assert counted(1.0, "frame") == "1 frame" and counted(0.5, "frame") == "0.5 frames"
