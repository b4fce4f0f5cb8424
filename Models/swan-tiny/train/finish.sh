#!/bin/sh
# The last stage, on one GPU: the decoder goes on training beside the two experts and, after them, the four-step pair.
# Usage: finish.sh WORLD.npz OUT_FOLDER          Sizes and times come from the environment (see the defaults).
set -u
scratch=$(mktemp -d) || exit 1
trap 'rm -rf -- "$scratch"' EXIT
world=$1 out=$2 here=$(cd "$(dirname "$0")" && pwd) model=$(cd "$(dirname "$0")/.." && pwd)
start=$(date +%s) pool=${POOL:-$scratch/pool.pt} extra=${EXTRA:-}
experts_until=${EXPERTS:-300} high_until=${HIGH:-425} low_until=${LOW:-533} decoder_until=${DECODER:-536} parts=${PARTS:-$scratch/parts}
mkdir -p "$out" "$parts" || exit 1
out=$(cd "$out" && pwd) || exit 1
[ -z "$(ls -A "$parts")" ] && [ ! -e "$pool" ] || { echo "$parts or $pool holds something: name others with PARTS and POOL" >&2; exit 1; }
cd "$here" || exit 1
python3 train_vae.py "$world" "$parts" --resume "$model/vae/diffusion_pytorch_model.safetensors" --only-decoder --figure-weight 3 \
    --start $start --seconds $decoder_until --batch ${CROPS:-16} --whole-batch ${WHOLES:-4} --tests ${DECODED:-48} $extra > "$out/decoder.log" 2>&1 &
python3 make_pool.py "$world" "$model" "$pool" --clips ${CLIPS:-26000} --seconds ${POOL_SECONDS:-70} --batch ${ENCODE:-64} $extra > "$out/pool.log" 2>&1 &
for role in high low; do
    python3 train_expert.py $role "$model" "$pool" "$parts" --start $start --seconds $experts_until --batch ${BATCH:-192} $extra > "$out/$role.log" 2>&1 &
done
sleep ${GAP:-110}
python3 train_lightning.py high "$model" "$parts" "$parts" --start $start --seconds $high_until --experts-by $((experts_until + 15)) --batch ${BATCH:-192} --buffer ${BUFFER:-4608} $extra > "$out/lightning_high.log" 2>&1 &
python3 train_lightning.py low "$model" "$parts" "$parts" --start $start --seconds $low_until --experts-by $((experts_until + 15)) --batch ${BATCH:-192} --buffer ${BUFFER:-4608} $extra > "$out/lightning_low.log" 2>&1 &
while [ $(($(date +%s) - start)) -lt $((low_until - 20)) ]; do sleep 1; done
python3 report.py "$model" "$parts" "$out" --start $start --wait $((decoder_until + 8)) --tests ${TESTS:-200} --steps ${STEPS:-40} ${REPORT:-} > "$out/report.log" 2>&1
wait
cat "$out"/*.log
