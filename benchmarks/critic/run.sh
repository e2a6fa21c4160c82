#!/usr/bin/env bash
# Repeats the study in docs/research/critic.md; continues where it stopped.
# Usage: benchmarks/critic/run.sh DATA [OUT]
# DATA holds isic2017 (ISIC 2017 Part 1 with annotation_tools.csv and
# random_500_test.txt) and cardiac, as benchmarks/cardiac/run.sh reads it. OUT,
# runs/critic by default, gets the runs and records.
set -euo pipefail
data=${1:?give the folder of isic2017 and cardiac}
out=${2:-runs/critic}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=benchmarks/critic

[ -f "$out/step_costs.json" ] || python "$here/step_costs.py" "$out"
python "$here/study.py" "$data" "$out"
[ -f "$out/pulls.json" ] || python "$here/pulls.py" "$data" "$out"
[ -f "$out/quality.json" ] || python "$here/quality.py" "$out"
rm -rf "$here/records" # of other losses, where others were chosen
mkdir -p "$here/records"
cp "$out"/records/*.json "$here/records/"
cp "$out"/{step_costs,pulls,quality}.json "$here/"
python "$here/analyze.py"
