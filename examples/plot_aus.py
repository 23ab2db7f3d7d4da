"""Plot the intensity of Action Units over time; one line a face.

aucli analyze clip.mp4 -o clip.parquet
python examples/plot_aus.py clip.parquet aus.png AU06 AU12 AU25
"""

import sys

import matplotlib.pyplot as plt
import pandas as pd

path, image, *aus = sys.argv[1:]
table = pd.read_parquet(path)
aus = aus or [name[:-2] for name in table if name.endswith("_r")]

figure, axes = plt.subplots(
    len(aus), sharex=True, squeeze=False, figsize=(9, 0.6 + 0.9 * len(aus)), layout="constrained"
)
for axis, au in zip(axes[:, 0], aus, strict=True):
    for face_id, rows in table[table["success"]].groupby("face_id"):
        # On the grid of all frames a missing face is a gap, not a straight line across it.
        times = table["timestamp"].drop_duplicates()
        series = rows.set_index("timestamp")[f"{au}_r"].reindex(times)
        axis.plot(series.index, series, linewidth=1, label=f"face {int(face_id)}")
    axis.set_ylim(0, 5)
    axis.set_ylabel(au, rotation=0, ha="right", va="center")
axes[-1, 0].set_xlabel("seconds")
if table["face_id"].nunique() > 1:
    axes[0, 0].legend(loc="upper right", fontsize="small")
figure.savefig(image, dpi=150)
