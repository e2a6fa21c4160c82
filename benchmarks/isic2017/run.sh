#!/usr/bin/env bash
# Repeats the runs of the results tables.
# Usage: benchmarks/isic2017/run.sh DATA [NAME ...]
# DATA holds ISIC 2017 Part 1, annotation_tools.csv and random_500_test.txt, the
# ids to test on. Without names: the released model, lite1_long, and before it the
# runs that it starts from, lite1_128 and lite1_192; none of them sees these 500.
# Others:
#   lite1_256 lite1_all                       larger images; all 2000 images
#   lite0_128 lite0_192 released_1            the first released model
#   segan_dice bce_dice segan_l1              SegAN's own segmentor
#   quick                                     the time until Dice is 0.89
#   try_none try_l1_1 try_l1_10 try_strong try_styles_lite0 try_styles_lite1
#                                             choices, on 300 of the 1500
#   plain_128_seed0 styles_128_seed0 ...      without and with annotation styles,
#   (seeds 0 to 2), styles_192                see styles.py
#   no_critic_128_seed0 ...                   plain_128 without the critic
set -euo pipefail
data=${1:?give the folder of ISIC 2017}
shift
[ $# -gt 0 ] || set -- lite1_128 lite1_192 lite1_long
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=benchmarks/isic2017

# The training images only: the official validation split chooses nothing.
training="--image_dir=$data/ISIC-2017_Training_Data
  --label_map_dir=$data/ISIC-2017_Training_Part1_GroundTruth"
but_500="$training --test_list=$data/random_500_test.txt"
# The recipe, and with the critic that the recorded runs have.
recipe="--flagfile=configs/lite0.flags"
lite0="$recipe --adversarial --critic_width=16 --dice_weight=1
  --cross_entropy_weight=1"
styles="--styles=$data/annotation_tools.csv"
encoder="--segmentor=efficientnet_lite1 --width=48 $styles"
lite1="$lite0 $encoder"
long="$lite1 --style_dropout=0.4 --ema=0.999 --image_size=192"
try="$but_500 --num_validation=300 $lite0 --epochs=6"
# SegAN's own segmentor, at a quarter of the paper's width.
segan="--data_dir=$data --test_list=$data/random_500_test.txt"
small="$segan --flagfile=configs/quick.flags --epochs=20"

# A later flag overrides the recipe's.
declare -A flags=(
  [segan_dice]="$small"
  [bce_dice]="$small --noadversarial"
  [segan_l1]="$segan --width=16 --epochs=10" # L1 only, batch 30, rate 0.002
  [try_none]="$but_500 --num_validation=300 $recipe --epochs=6 --augment=basic"
  [try_l1_1]="$try --augment=basic"
  [try_l1_10]="$try --augment=basic --l1_weight=10"
  [try_strong]="$try"
  [try_styles_lite0]="$try $styles"
  [try_styles_lite1]="$try $encoder"
  [quick]="$but_500 --num_validation=0 $lite0 --augment=basic --epochs=4"
  [lite0_128]="$but_500 --num_validation=0 $lite0"
  [lite0_192]="$but_500 --num_validation=0 $lite0 --epochs=12
    --image_size=192 --start_from=runs/lite0_128"
  [styles_192]="$but_500 --num_validation=0 $lite0 $styles --epochs=12
    --image_size=192 --start_from=runs/styles_128_seed0"
  [released_1]="$training --num_test=0 --num_validation=0 $lite0
    --image_size=192 --start_from=runs/lite0_192"
  [lite1_128]="$but_500 --num_validation=0 $lite1 --epochs=12"
  [lite1_192]="$but_500 --num_validation=0 $lite1
    --image_size=192 --start_from=runs/lite1_128"
  [lite1_256]="$but_500 --num_validation=0 $lite1 --epochs=6
    --learning_rate=0.0005 --image_size=256 --start_from=runs/lite1_192"
  [lite1_long]="$but_500 --num_validation=0 $long --epochs=36
    --start_from=runs/lite1_192"
  [lite1_all]="$training --num_test=0 --num_validation=0 $long --epochs=12
    --start_from=runs/lite1_long"
)
for seed in 0 1 2; do
  flags[plain_128_seed$seed]="${flags[lite0_128]} --seed=$seed"
  flags[styles_128_seed$seed]="${flags[lite0_128]} $styles --seed=$seed"
  flags[no_critic_128_seed$seed]="$but_500 --num_validation=0 $recipe
    --seed=$seed"
done

# Scores a run on a split and keeps the result: keep NAME SPLIT FOLDER [FLAGS]
keep() {
  python main.py --mode=evaluate --model_dir="runs/$1" --split="$2" "${@:4}"
  mkdir -p "$here/$3"
  # The newest: with --tta a report has a folder of its own.
  cp "$(ls -td "runs/$1/evaluation_$2"*/ | head -n 1)results.json" \
    "runs/$1/flags.json" "$here/$3/"
  sed -i "s#$data#DATA#g" "$here/$3/results.json" "$here/$3/flags.json"
}

# Fits the expected Dice and the decision to the official validation images,
# which are not among the 500: calibrate NAME [FLAGS]
calibrate() {
  python main.py --mode=calibrate --model="runs/$1" \
    --image_dir="$data/ISIC-2017_Validation_Data" \
    --label_map_dir="$data/ISIC-2017_Validation_Part1_GroundTruth" "${@:2}"
}

# Exports a run and keeps how its models compare with Keras:
# export_and_keep NAME [FLAGS]
export_and_keep() {
  python main.py --mode=export --model_dir="runs/$1" \
    --export_dir="runs/$1/exported" "${@:2}"
  cp "runs/$1/exported/parity.json" "$here/$1/"
}

# Measures a run on drawn photographs, and what predict warns of.
photographs() {
  python "$here/draw_photographs.py" "$data" runs/photographs
  python main.py --mode=evaluate --model="runs/$1" --split=all \
    --data_dir=runs/photographs --model_dir=runs/photographs
  python main.py --mode=predict --model="runs/$1" \
    --input=runs/photographs/images --output_dir=runs/photographs/predictions
}

official="--data_dir=$data --num_test=0"
for name in "$@"; do
  # shellcheck disable=SC2086 # several flags in one variable
  python main.py --mode=train --model_dir="runs/$name" ${flags[$name]}
  case $name in
  try_*) keep "$name" validation "$name" ;;
  lite0_*)
    keep "$name" test "${name}_flips" --tta
    keep "$name" test "$name"
    ;;
  styles_192 | lite1_256)
    calibrate "$name" --decision="runs/decision_$name.json"
    if [ "$name" = lite1_256 ]; then
      keep "$name" test "${name}_flips" --tta \
        --decision="runs/decision_$name.json"
    fi
    keep "$name" test "$name" --decision="runs/decision_$name.json"
    export_and_keep "$name"
    ;;
  lite1_long)
    # shellcheck disable=SC2086
    keep "$name" validation "${name}_official" $official $styles
    calibrate "$name"
    keep "$name" test "${name}_flips" --tta
    keep "$name" test "$name"
    photographs "$name"
    export_and_keep "$name"
    python "$here/release.py" 2 "runs/$name" "runs/$name/exported"
    python "$here/card.py" "runs/$name" runs/photographs "$data"
    ;;
  lite1_all)
    # shellcheck disable=SC2086
    keep "$name" validation "$name" $official $styles
    ;;
  styles_128_seed0)
    keep "$name" test "$name"
    export_and_keep "$name"
    python benchmarks/tflite.py "runs/$name/exported/segan_none.tflite" \
      "runs/$name/exported/segan_int8.tflite"
    ;;
  released_1)
    # shellcheck disable=SC2086
    keep "$name" validation "$name" $official
    # shellcheck disable=SC2086
    export_and_keep "$name" --split=validation $official
    ;;
  *) keep "$name" test "$name" ;;
  esac
done
