"""A small prepared set of drawn faces, as ``aucli prepare`` would write one."""

import json
from pathlib import Path

import numpy as np
from synthetic_faces import SIZE, draw_face

from aucli.aus import DISFA_AUS
from aucli.datasets import prepared
from aucli.datasets.folds import FOLDS


def write_prepared(root: Path, subjects_a_part: int = 4, faces: int = 6) -> Path:
    """Of DISFA's protocol jaanet: people of all three parts. AU12 and AU25 follow the mouth, AU26
    is never coded, the first face of each person has no AU04."""
    rng = np.random.default_rng(0)
    (root / "faces").mkdir(parents=True)
    settings = {"dataset": "disfa", "aus": list(DISFA_AUS), "size": SIZE}
    for fold in FOLDS["disfa"]["jaanet"].values():
        for subject in fold.test[:subjects_a_part]:
            columns: dict[str, list] = {n: [] for n in prepared.shard_schema(DISFA_AUS).names[2:]}
            for n in range(faces):
                smile = float(n % 3 * 2)
                rgba, landmarks = draw_face(rng, smile)
                columns["frame_index"].append(n)
                columns["confidence"].append(0.9)
                columns["image"].append(prepared.to_jpeg(np.ascontiguousarray(rgba[..., :3])))
                columns["landmarks"].append(landmarks.reshape(-1))
                for au in DISFA_AUS:
                    value = smile if au in ("AU12", "AU25") else 0.0
                    missing = au == "AU26" or (au == "AU04" and n == 0)
                    columns[au].append(None if missing else value)
            path = prepared.shard_path(root, subject)
            prepared.write_shard(path, DISFA_AUS, subject, subject, columns, [])
    facts = [prepared.shard_facts(path) for path in prepared.shards(root)]
    manifest = {"settings": settings, "recordings": facts}
    (root / prepared.MANIFEST).write_text(json.dumps(manifest))
    return root
