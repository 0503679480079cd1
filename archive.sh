#!/usr/bin/env bash
# Pack weights and model_handler/ into one TorchServe archive, with a manifest that says what is in it.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: archive.sh --weights PATH --version X.Y.Z [--golden CLIP] [--reference DIR] [--config YAML] [--out DIR]
                  [--publish s3://BUCKET] [--max-error POINTS]

Writes DIR/dive-X.Y.Z.mar and DIR/dive-X.Y.Z.json.

  --weights PATH    folder of the five published files, or a .safetensors file or a folder that holds one
  --version X.Y.Z   the release's version (SemVer)
  --golden CLIP     a dive whose score goes into the manifest, to check a deployed release against
  --reference DIR   a folder of dives, sub-folders too, whose score distribution goes into the manifest
  --max-error N     with precision: int8 in --config, how many points int8 may be off fp32 over the dives of
                    --reference, by which it is calibrated; default 0.3
  --config YAML     in place of model_handler/model-config.yaml: workers, precision, limits, buckets
  --out DIR         where to write; default build
  --publish BUCKET  s3://BUCKET: publish it there, for hosts to deploy; needs --golden and AWS credentials
USAGE
}

fail() { echo "archive.sh: $*" >&2; exit 2; }

weights='' version='' golden='' reference='' publish='' max_error='' out=build config=model_handler/model-config.yaml
absolute() { realpath -- "$1"; }
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --weights | --version | --golden | --reference | --config | --out | --publish | --max-error)
      [ $# -ge 2 ] || fail "$1 needs a value (see --help)"
      case $1 in
        --weights) [ -e "$2" ] || fail "--weights: $2 does not exist"; weights=$(absolute "$2") ;;
        --version) version=$2 ;;
        --golden) [ -f "$2" ] || fail "--golden: $2 is not a file"; golden=$(absolute "$2") ;;
        --reference) [ -d "$2" ] || fail "--reference: $2 is not a folder"; reference=$(absolute "$2") ;;
        --config) [ -f "$2" ] || fail "--config: $2 is not a file"; config=$(absolute "$2") ;;
        --publish) publish=$2 ;;
        --max-error) [[ $2 =~ ^[0-9]*\.?[0-9]+$ ]] || fail "--max-error: $2 is no number of points"; max_error=$2 ;;
        --out) mkdir -p "$2"; out=$(absolute "$2") ;;
      esac
      shift 2 ;;
    *) fail "unknown option $1 (see --help)" ;;
  esac
done
[ -n "$weights" ] || fail "--weights is missing (see --help)"
# SemVer 2.0.0 without build metadata, whose + is awkward in URLs and S3 keys.
number='(0|[1-9][0-9]*)' part='(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)'
[[ $version =~ ^$number\.$number\.$number(-$part(\.$part)*)?$ ]] ||
  fail "--version should look like 1.4.0, found '$version'"

[[ -z $publish || $publish =~ ^s3://[^/]+/?$ ]] || fail "--publish should look like s3://my-bucket, found '$publish'"
[[ -z $publish || -n $golden ]] || fail "--publish needs --golden: hosts check a release against its golden clip"

cd "$(dirname "${BASH_SOURCE[0]}")"
venv=${SPRINGBOARD_VENV:-.venv}
python=$venv/bin/python
[ -x "$python" ] || fail "no $venv here; run: make setup"
mkdir -p "$out"
staging=$(mktemp -d "$out/.archive.XXXXXX")
trap 'rm -rf "$staging"' EXIT

# The archiver puts the handler at the archive's root; the package it imports goes in beside it as a folder.
mkdir "$staging/extra"
cp -r model_handler "$staging/extra/"
find "$staging/extra" -name __pycache__ -prune -exec rm -r {} +
rm "$staging/extra/model_handler/"{handler.py,model-config.yaml}
cp "$config" "$staging/model-config.yaml"
"$python" -m springboard.releases.archive "$staging" "$weights" "$version" \
  ${golden:+--golden "$golden"} ${reference:+--reference "$reference"} ${max_error:+--max-error "$max_error"}
# Both or neither, and never half a file: an interrupted run leaves what was there before.
mv "$staging/dive.mar" "$out/dive-$version.mar"
mv "$staging/dive.json" "$out/dive-$version.json"
echo "$out/dive-$version.mar"
if [ -n "$publish" ]; then
  "$python" -m springboard releases publish "$out/dive-$version.mar" --models "$publish" --golden "$golden"
fi
