#!/usr/bin/env bash
# Repeats the runs on drawings: one network for the overlapping labels lesion,
# hair and ruler mark, against one network per label.
# Usage: benchmarks/drawings/run.sh [shared|stacked|per_label|... ...]
set -euo pipefail
[ $# -gt 0 ] || set -- shared stacked per_label ce_dice dice \
  only_lesion only_hair only_ruler_mark
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The check draws the 400 images that all networks share.
three="--num_labels=3 --label_kind=multilabel"
# shellcheck disable=SC2086 # several flags in one variable
python main.py --mode=check --model_dir=runs/drawings --num_drawn=400 $three

for name in "$@"; do
  labels="lesion,hair,ruler mark" overrides=$three
  case $name in
    only_*) labels=${name#only_} labels=${labels//_/ } overrides=--num_labels=1 ;;
    ce_dice) overrides="$three --noadversarial" ;;
    dice) overrides="$three --noadversarial --cross_entropy_weight=0" ;;
    *) overrides="$three --critic_form=$name" ;;
  esac
  run="runs/drawings_$name"
  # shellcheck disable=SC2086
  python main.py --mode=train --flagfile=configs/cardiac.flags \
    --data_dir=runs/drawings/drawn_lesions --decay_epochs=6 \
    --model_dir="$run" --label_names="$labels" $overrides
  python main.py --mode=evaluate --model_dir="$run"
  mkdir -p "benchmarks/drawings/$name"
  cp "$run/evaluation_test/results.json" "$run/flags.json" \
    "benchmarks/drawings/$name/"
done
