"""Read a table of ``aucli analyze`` and print what is in it.

aucli analyze clip.mp4 -o clip.parquet
python examples/read_table.py clip.parquet
"""

import sys

import pandas as pd

from aucli.table.writer import read_provenance

path = sys.argv[1]
table = pd.read_parquet(path)
told = read_provenance(path)
print(f"{told['input']['name']}: {told['frames']} frames, model {told['model']['name']}")

# A frame without a face has a row with success false; its intensities are null, not zero.
faces = table[table["success"]]
print(f"{table['success'].mean():.0%} of the rows have a face")

aus = [name for name in table if name.endswith("_r")]
print(faces[aus].agg(["mean", "max"]).T.round(2))

strongest = faces[aus].idxmax()
for au in aus:
    if pd.notna(strongest[au]):
        row = faces.loc[strongest[au]]
        print(f"{au[:-2]} peaks at {row['timestamp']:.2f} s (frame {row['frame']}): {row[au]:.2f}")
