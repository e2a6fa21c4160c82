#!/usr/bin/env bash
# Repeats the runs of the table on drawings: one network for lesion, hair and
# ruler mark, which overlap, against a network for each.
# Usage: benchmarks/drawings/run.sh [shared|stacked|per_label|... ...]
set -euo pipefail
[ $# -gt 0 ] || set -- shared stacked per_label ce_dice \
  only_lesion only_hair only_ruler_mark
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The check draws the 400 pictures that all networks share.
three="--num_labels=3 --label_kind=overlapping"
# shellcheck disable=SC2086 # several flags in one variable
python main.py --mode=check --model_dir=runs/drawings --num_drawn=400 $three

budget="--width=16 --dice_weight=1 --batch_size=10 --learning_rate=0.002
  --decay_epochs=6 --epochs=20 --data_dir=runs/drawings/drawn_lesions"
for name in "$@"; do
  labels="lesion,hair,ruler mark" flags=$three
  case $name in
    only_*) labels=${name#only_} labels=${labels//_/ } flags="" ;;
    ce_dice) flags="$three --noadversarial" ;;
    *) flags="$three --critic_form=$name" ;;
  esac
  run="runs/drawings_$name"
  # shellcheck disable=SC2086
  python main.py --mode=train --model_dir="$run" --label_names="$labels" \
    $budget $flags
  python main.py --mode=evaluate --model_dir="$run"
  mkdir -p "benchmarks/drawings/$name"
  cp "$run/evaluation_test/results.json" "$run/flags.json" \
    "benchmarks/drawings/$name/"
done
