"""Check the embedded networks on two real clips whose AUs were judged by eye.

    python examples/maintenance/check_clips.py FOLDER

FOLDER holds smile.mp4 (72 frames: neutral, then a broad smile) and emotions.mp4 (472 frames:
crying, worry, laughter). Frames are 0-based; what is not listed below was not judged. Prints the
mean intensities before and during the smile, and the area under the ROC curve of each judged AU.
"""

import argparse
from pathlib import Path

import numpy as np

import aucli
from aucli.errors import run_script
from aucli.metrics import roc_auc

NEUTRAL, SMILE = range(0, 17), range(21, 69)
# AU -> frames where it is present, frames where it is absent (first and last included).
JUDGED = {
    "AU12": ([(256, 276), (296, 471)], [(0, 12), (144, 224)]),
    "AU25": ([(256, 284), (296, 440)], [(0, 60)]),
    "AU04": ([(16, 136)], [(232, 471)]),
    "AU06": ([(304, 471)], [(0, 12), (144, 224)]),
    "AU01": ([(144, 224)], [(296, 471)]),
}


def frames(spans: list[tuple[int, int]]) -> np.ndarray:
    return np.concatenate([np.arange(first, last + 1) for first, last in spans])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    smile = aucli.analyze(folder / "smile.mp4")
    aus = smile.filter(regex="^AU.._r$")
    print(f"smile.mp4: a face in {int(smile.success.sum())} of {len(smile)} frames, "
          f"ids {sorted(smile.face_id.dropna().unique().tolist())}")  # fmt: skip
    before, during = aus.iloc[list(NEUTRAL)].mean(), aus.iloc[list(SMILE)].mean()
    for name in aus:
        print(f"  {name[:-2]}  neutral {before[name]:.2f}  smile {during[name]:.2f}")
    rising = aus["AU12_r"].to_numpy()
    print(f"  AU12 passes half its peak in frame {int(np.argmax(rising > rising.max() / 2))}")

    emotions = aucli.analyze(folder / "emotions.mp4")
    uncovered = ~emotions.index.isin(range(96, 141))
    print(f"emotions.mp4: a face in {emotions.success.mean():.1%} of the frames, "
          f"{emotions.success[uncovered].mean():.1%} of those without a hand over it")  # fmt: skip
    for au, (present, absent) in JUDGED.items():
        chosen = np.concatenate([frames(present), frames(absent)])
        label = np.repeat([1, 0], [len(frames(present)), len(frames(absent))])
        values = emotions[f"{au}_r"].to_numpy()[chosen]
        seen = ~np.isnan(values)
        print(f"  {au}  AUC {roc_auc(values[seen], label[seen]):.3f}  "
              f"({(~seen).sum()} judged frames without a face)")  # fmt: skip


if __name__ == "__main__":
    run_script(main)
