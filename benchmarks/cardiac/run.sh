#!/usr/bin/env bash
# Repeats the runs on heart MRI: one network for three labels with each form of
# the critic and without one, against one network per label.
# Usage: benchmarks/cardiac/run.sh DATA [shared|stacked|per_label|... ...]
# A name may end with a seed, as in shared_seed1.
# DATA holds images/, label_maps/, labels.json, groups.csv and test_ids.txt.
set -euo pipefail
data=${1:?give the folder of the heart MRI}
shift
[ $# -gt 0 ] || set -- shared stacked per_label sampled ce_dice \
  shared_seed1 only_1 only_2 only_3
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The recipe is for the shared critic; these override it.
declare -A overrides=(
  [shared]=""
  [stacked]="--critic_form=stacked"
  [per_label]="--critic_form=per_label"
  [sampled]="--critic_labels_per_step=1"
  [ce_dice]="--noadversarial"
  [only_1]="--num_labels=1 --label_names=benchmarks/cardiac/only_1.json"
  [only_2]="--num_labels=1 --label_names=benchmarks/cardiac/only_2.json"
  [only_3]="--num_labels=1 --label_names=benchmarks/cardiac/only_3.json"
)
for name in "$@"; do
  run="runs/cardiac_$name" flags=${overrides[${name%_seed*}]}
  case $name in *_seed*) flags+=" --seed=${name##*_seed}" ;; esac
  # shellcheck disable=SC2086 # several flags in one variable
  python main.py --mode=train --flagfile=configs/cardiac.flags \
    --data_dir="$data" --groups="$data/groups.csv" \
    --test_list="$data/test_ids.txt" --model_dir="$run" $flags
  python main.py --mode=evaluate --model_dir="$run"
  mkdir -p "benchmarks/cardiac/$name"
  cp "$run/evaluation_test/results.json" "$run/flags.json" \
    "benchmarks/cardiac/$name/"
done
