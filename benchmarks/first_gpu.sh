#!/usr/bin/env bash
# The first quarter of an hour on an NVIDIA GPU, where nothing of ours has ever run.
#
#   benchmarks/first_gpu.sh prepare FOLDER     here: what has to be carried, at most 64 MiB a run
#   benchmarks/first_gpu.sh 1 FOLDER OUT       there, at most 7 minutes: is it right, how fast
#   benchmarks/first_gpu.sh 2 FOLDER OUT       there, at most 5 minutes: a real film
#   benchmarks/first_gpu.sh dry FOLDER OUT     here: both on a host without a GPU, small
#
# FOLDER gets wheels (1/ for the first run, 2/ for the second) and the default network's weights.
# Each line has a time limit of its own and the next one runs whatever became of it; OUT/log has
# everything, OUT/clocks.csv clocks and power twice a second.
set -uo pipefail
cd "$(dirname "$0")/.."
what=$1 folder=$2 out=${3:-}
python=${PYTHON:-python3}
# Of imageio-ffmpeg, 0.8 and newer have 68 MB; nothing here needs what 0.6 lacks. It goes with the first
# run, which has room, and is found by the second one on the same machine.
FIRST=(platformdirs pytest pytest-timeout pluggy iniconfig pygments packaging safetensors
    imageio-ffmpeg==0.6.0)
SECOND=(av click tqdm ffmpeg-python future pillow)

prepare() {
    local run list
    for run in 1 2; do
        mkdir -p "$folder/$run"
        list=("${FIRST[@]}")
        [ "$run" = 2 ] && list=("${SECOND[@]}")
        "$python" -m pip download -q --no-deps --only-binary=:all: \
            --python-version "${VERSION:-3.12}" --platform manylinux_2_28_x86_64 \
            --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
            -d "$folder/$run" "${list[@]}" || exit 1
    done
    "$python" - "$folder/anime.safetensors" <<'PYTHON' || exit 1
import sys
from safetensors.torch import save_file
from vsr.nets.store import load
from vsr.options import ModelOptions
network = load(ModelOptions(name="realesr-animevideov3")).network
save_file({k: v.contiguous() for k, v in network.state_dict().items()}, sys.argv[1])
PYTHON
    for run in 1 2; do
        kib=$(du -ck "$folder/$run" "$folder/anime.safetensors" vsr tests benchmarks samples \
            | tail -1 | cut -f1)
        echo "run $run carries $((kib / 1024)) MiB"
        [ "$kib" -le 65536 ] || { echo "more than 64 MiB" >&2; exit 1; }
    done
}

# A line of the log: what is called, how it ended, how long it took.
t() {
    local began=$SECONDS
    echo "== $*" | tee -a "$out/log"
    timeout "$@" 2>&1 | tee -a "$out/log"
    echo "-- exit ${PIPESTATUS[0]}, $((SECONDS - began)) s" | tee -a "$out/log"
}

begin() {
    mkdir -p "$out"
    site=/tmp/vsr-first-gpu  # the same in both runs
    if [ -d "$folder/$1" ]; then
        "$python" -m pip install -q --no-index --no-deps --upgrade --target "$site" \
            "$folder/$1"/*.whl
    fi
    export PYTHONPATH=$site:.:${PYTHONPATH:-} XDG_CACHE_HOME=$site/cache PYTHONUNBUFFERED=1
    if command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu \
            --format=csv -lms 500 >"$out/clocks.csv" &
        clocks=$!
        trap 'kill $clocks' EXIT
    fi
}

if_there() { command -v "$2" >/dev/null && t "$@"; }

first() {
    begin 1
    t 55 "$python" benchmarks/first_gpu.py smoke --weights "$folder/anime.safetensors"
    t 85 "$python" -m pytest -q --maxfail=8 -p no:cacheprovider tests/unit/engine/cuda/test_gpu.py
    if_there 50 compute-sanitizer --tool memcheck "$python" benchmarks/first_gpu.py small
    if_there 50 compute-sanitizer --tool racecheck "$python" benchmarks/first_gpu.py small
    t 90 "$python" benchmarks/kernels.py --quick \
        --weights "$folder/anime.safetensors" --out "$out/cuda.json"
    t 60 "$python" benchmarks/joined.py --compile --graphs --sizes 640x360 1280x720 \
        --out "$out/joined.json"
    if_there 30 ncu --clock-control none -k middle -s 20 -c 1 --set full \
        "$python" benchmarks/first_gpu.py small --size 720x1280
}

second() {
    begin 2
    local engine
    t 40 "$python" benchmarks/timeline.py --engine cuda --out "$out"
    t 25 "$python" benchmarks/timeline.py --engine torch --out "$out/tl"
    t 35 "$python" benchmarks/timeline.py --engine auto --out "$out/tl-auto"
    t 40 "$python" -m pytest -q -p no:cacheprovider tests/promises/test_gpu.py -k colour
    for engine in torch auto cuda; do film "$engine" 40 samples/bunny.mp4; done
    for engine in auto cuda; do
        t 15 "$python" -m vsr metrics "$out/torch.mkv" "$out/$engine.mkv"
    done
}

film() {
    t "$2" "$python" -m vsr upscale "$3" -o "$out/$1.mkv" --overwrite --device cuda --engine "$1" \
        --codec ffv1 --model "$folder/${4:-anime}.safetensors"
}

dry() {
    # The host's driver and compiler stand in (tests/support/cuda/host); a network of three layers.
    mkdir -p "$out" "$folder"
    "$python" - "$folder/small.safetensors" <<'PYTHON' || exit 1
import sys
from safetensors.torch import save_file
from vsr.engine.cuda.trial import KernelTrial, sample_of
asked = KernelTrial(device="cuda:0", deep=False, scale=2, timed=False)
save_file(sample_of(asked).state_dict(), sys.argv[1])
PYTHON
    local dress engine
    dress=$("$python" -c 'import shlex
from tests.support.cuda.host.gpu import HostGpu
for name, value in HostGpu(processors=1).environment().items():
    print(f"export {name}={shlex.quote(value)}")') || exit 1
    begin none
    export XDG_CACHE_HOME=$out/cache
    eval "$dress"
    t 900 "$python" benchmarks/first_gpu.py smoke --size 5x37 --weights "$folder/small.safetensors"
    t 900 "$python" benchmarks/first_gpu.py small --size 5x37 --times 3
    t 900 "$python" -m pytest -q --maxfail=8 -p no:cacheprovider tests/unit/engine/cuda/test_gpu.py \
        -k "trap or built"
    t 60 "$python" benchmarks/kernels.py --help
    t 900 "$python" benchmarks/joined.py --sizes 8x6 --out "$out/joined.json"
    t 60 "$python" benchmarks/timeline.py --help
    t 60 "$python" -m pytest -q -p no:cacheprovider tests/promises/test_gpu.py -k colour
    "$python" -c 'import sys
from tests.support import judge
judge.make(sys.argv[1], "testsrc2=s=48x32:r=4:d=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p")' \
        "$out/source.mkv" || exit 1
    for engine in torch auto cuda; do film "$engine" 900 "$out/source.mkv" small; done
    for engine in auto cuda; do
        t 120 "$python" -m vsr metrics "$out/torch.mkv" "$out/$engine.mkv"
    done
    ! grep -E "^-- exit [1-9]|WRONG" "$out/log"
}

case $what in
    prepare) prepare ;;
    1) first ;;
    2) second ;;
    dry) dry ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
esac
