#!/usr/bin/env bash
# Repeats the runs of the README's results tables.
# Usage: benchmarks/isic2017/run.sh DATA [NAME ...]
# DATA holds ISIC 2017 Part 1 and random_500_test.txt, the ids to test on.
# Without names: the released model, and before it the two runs that it starts
# from, which never see the 500: lite0_128 lite0_192 released. Others:
#   segan_dice bce_dice segan_l1              the reference's segmentor
#   quick                                     how soon Dice 0.89 is reached
#   try_none try_l1_1 try_l1_10 try_strong    choices, on 300 of the 1500
set -euo pipefail
data=${1:?give the folder of ISIC 2017}
shift
[ $# -gt 0 ] || set -- lite0_128 lite0_192 released
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=benchmarks/isic2017

# The training images alone: the official validation split chooses nothing.
training="--image_dir=$data/ISIC-2017_Training_Data
  --label_map_dir=$data/ISIC-2017_Training_Part1_GroundTruth"
but_500="$training --test_list=$data/random_500_test.txt"
# The encoder's own recipe, with the critic and without.
lite0="--segmentor=efficientnet_lite0 --schedule=cosine --learning_rate=0.001
  --ema=0.99 --batch_size=10 --critic_width=16"
both="--dice_weight=1 --cross_entropy_weight=1"
recipe="$lite0 $both --augment=strong"
try="$but_500 --num_validation=300 $lite0 --epochs=6"
# The reference's segmentor: batches of 10 make three times the steps of an
# epoch of 30, and the rate is halved every 4 epochs.
segan="--data_dir=$data --test_list=$data/random_500_test.txt --width=16"
short="--batch_size=10 --learning_rate=0.002 --decay_epochs=4"

declare -A flags=(
  [segan_dice]="$segan --epochs=20 --dice_weight=1 $short"
  [bce_dice]="$segan --epochs=20 --noadversarial $short"
  [segan_l1]="$segan --epochs=10" # L1 only, batch 30, rate 0.002
  [try_none]="$try --noadversarial"
  [try_l1_1]="$try $both"
  [try_l1_10]="$try $both --l1_weight=10"
  [try_strong]="$try $both --augment=strong"
  [quick]="$but_500 --num_validation=0 $lite0 $both --epochs=4"
  [lite0_128]="$but_500 --num_validation=0 $recipe --epochs=8"
  [lite0_192]="$but_500 --num_validation=0 $recipe --epochs=12
    --image_size=192 --start_from=runs/lite0_128"
  [released]="$training --num_test=0 --num_validation=0 $recipe --epochs=8
    --image_size=192 --start_from=runs/lite0_192"
)

# Scores a run on a split and keeps the result: keep NAME SPLIT FOLDER [FLAGS]
keep() {
  python main.py --mode=evaluate --model_dir="runs/$1" --split="$2" "${@:4}"
  mkdir -p "$here/$3"
  cp "runs/$1/evaluation_$2/results.json" "runs/$1/flags.json" "$here/$3/"
}

for name in "$@"; do
  # shellcheck disable=SC2086 # several flags in one variable
  python main.py --mode=train --model_dir="runs/$name" ${flags[$name]}
  case $name in
  try_*) keep "$name" validation "$name" ;;
  lite0_*)
    keep "$name" test "${name}_flips" --flips
    keep "$name" test "$name"
    python main.py --mode=export --model_dir="runs/$name" \
      --export_dir="runs/$name/exported" --allow_parity_loss
    cp "runs/$name/exported/parity.json" "$here/$name/"
    ;;
  released)
    official="--data_dir=$data --num_test=0"
    keep "$name" validation "$name" $official
    # shellcheck disable=SC2086
    python main.py --mode=export --model_dir="runs/$name" --split=validation \
      --export_dir="runs/$name/exported" $official --allow_parity_loss
    cp "runs/$name/exported/parity.json" "$here/$name/"
    python "$here/release.py" "runs/$name" "runs/$name/exported"
    ;;
  *) keep "$name" test "$name" ;;
  esac
done
