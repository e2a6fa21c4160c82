#!/usr/bin/env bash
# Repeats the runs of the README's table on heart MRI: one network for three
# labels, in each form of the critic, against a network for each label.
# Usage: benchmarks/cardiac/run.sh DATA [shared|stacked|per_label|... ...]
# DATA holds images/, label_maps/, labels.json, groups.csv and test_ids.txt.
set -euo pipefail
data=${1:?give the folder of the heart MRI}
shift
[ $# -gt 0 ] || set -- shared stacked per_label sampled ce_dice \
  only_1 only_2 only_3
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The same budget for every network: 20 epochs of batches of 10.
budget="--width=16 --dice_weight=1 --batch_size=10 --learning_rate=0.002
  --decay_epochs=4 --epochs=20 --groups=$data/groups.csv
  --test_list=$data/test_ids.txt"
declare -A flags=(
  [shared]="--num_labels=3 --critic_form=shared"
  [stacked]="--num_labels=3 --critic_form=stacked"
  [per_label]="--num_labels=3 --critic_form=per_label"
  [sampled]="--num_labels=3 --critic_form=shared --critic_labels_per_step=1"
  [ce_dice]="--num_labels=3 --noadversarial"
  [only_1]="--label_names=benchmarks/cardiac/only_1.json"
  [only_2]="--label_names=benchmarks/cardiac/only_2.json"
  [only_3]="--label_names=benchmarks/cardiac/only_3.json"
)
for name in "$@"; do
  run="runs/cardiac_$name"
  # shellcheck disable=SC2086 # several flags in one variable
  python main.py --mode=train --data_dir="$data" --model_dir="$run" \
    $budget ${flags[$name]}
  python main.py --mode=evaluate --model_dir="$run"
  mkdir -p "benchmarks/cardiac/$name"
  cp "$run/evaluation_test/results.json" "$run/flags.json" \
    "benchmarks/cardiac/$name/"
done
