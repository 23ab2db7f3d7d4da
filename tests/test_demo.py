"""The bundled clip through the embedded weights: the table follows the curves it was made from."""

from pathlib import Path

import pandas as pd
import pytest

import aucli
from aucli.metrics import pcc

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def demo() -> pd.DataFrame:
    return aucli.analyze(EXAMPLES / "demo.mp4")


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return pd.read_csv(EXAMPLES / "demo_truth.csv")


def test_one_face_in_every_frame_under_one_id(demo: pd.DataFrame, truth: pd.DataFrame) -> None:
    assert demo["frame"].tolist() == truth["frame"].tolist()
    assert bool(demo["success"].all()) and set(demo["face_id"]) == {0}
    assert demo["timestamp"].to_numpy() == pytest.approx(truth["timestamp"].to_numpy(), abs=1e-3)


@pytest.mark.parametrize("au", ["AU01", "AU02", "AU04", "AU06", "AU12", "AU25", "AU26", "AU45"])
def test_intensities_follow_the_rendered_curves(
    demo: pd.DataFrame, truth: pd.DataFrame, au: str
) -> None:
    assert pcc(demo[f"{au}_r"], truth[au]) > 0.8
    curve = truth[au].to_numpy()
    at_peak = demo[f"{au}_r"].to_numpy()[curve == curve.max()]
    assert float(at_peak.mean()) > 0.5 * float(curve.max())


def test_head_pose_follows_the_turn(demo: pd.DataFrame) -> None:
    # 9.6 s: 0.65 rad towards the person's left; 10.6 s: 0.55 rad to the right.
    yaw = demo["pose_Ry"].to_numpy()
    assert yaw[240] == pytest.approx(0.65, abs=0.15) and yaw[265] == pytest.approx(-0.55, abs=0.15)
