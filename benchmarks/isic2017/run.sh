#!/usr/bin/env bash
# Repeats the runs of the README's results table.
# Usage: benchmarks/isic2017/run.sh DATA [segan_dice|bce_dice|segan_l1 ...]
# DATA holds ISIC 2017 Part 1 and random_500_test.txt, the ids to test on.
set -euo pipefail
data=${1:?give the folder of ISIC 2017}
shift
[ $# -gt 0 ] || set -- segan_dice bce_dice segan_l1
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Batches of 10 make three times the steps of an epoch of 30, and the rate
# is halved every 4 epochs.
short="--batch_size=10 --learning_rate=0.002 --decay_epochs=4"
declare -A flags=(
  [segan_dice]="--epochs=20 --dice_weight=1 $short"
  [bce_dice]="--epochs=20 --noadversarial $short"
  [segan_l1]="--epochs=10" # the reference: L1 only, batch 30, rate 0.002
)
for name in "$@"; do
  # shellcheck disable=SC2086 # several flags in one variable
  python main.py --mode=train --data_dir="$data" \
    --test_list="$data/random_500_test.txt" --width=16 \
    --model_dir="runs/$name" ${flags[$name]}
  python main.py --mode=evaluate --model_dir="runs/$name"
  mkdir -p "benchmarks/isic2017/$name"
  cp "runs/$name/evaluation_test/results.json" "runs/$name/flags.json" \
    "benchmarks/isic2017/$name/"
done
