#!/bin/sh
# Goes on training the model in ../ on one GPU within one time limit: a pool of clips, both experts, the four-step pair, scores.
# Usage: continue.sh WORLD.npz OUT_FOLDER       Times (seconds from the start) and sizes come from the environment.
#
# Stages run side by side and wait for each other's files; where one fails, the next takes what the model already has.
# OUT_FOLDER gets high, low, lora_high, lora_low (single precision), lightning.png, guided.png, logs.tgz, and with DECODER > 0 also vae.
set -u
scratch=$(mktemp -d) || exit 1
trap 'rm -rf -- "$scratch"' EXIT
world=$(realpath "$1") out=$2 here=$(cd "$(dirname "$0")" && pwd) model=$(cd "$(dirname "$0")/.." && pwd)
start=${START:-$(date +%s)} experts=${EXPERTS:-425} lightning=${LIGHTNING:-545} limit=${LIMIT:-575} decoder=${DECODER:-0}
batch=${BATCH:-128} python=${PYTHON:-python3} extra=${EXTRA:-}
logs=$scratch/logs awaited="high low lora_high lora_low"
mkdir -p "$out" "$logs" "$scratch/pool" || exit 1
out=$(cd "$out" && pwd) || exit 1
for file in "$out"/*.safetensors; do
    [ -e "$file" ] && { echo "$file would be taken for a result of this run: name another folder" >&2; exit 1; }
done
cd "$here" || exit 1

# stage NAME END COMMAND...: in the background, with a log, ended at END at the latest.
stage() {
    name=$1 left=$(($2 - $(date +%s) + start)); shift 2
    [ "$left" -gt 0 ] && timeout -k 5 "$left" "$python" -u "$@" > "$logs/$name.log" 2>&1 || echo "$name: status $?" >> "$logs/failures.log"
}

stage pool "$experts" make_pool.py "$world" "$model" "$scratch/pool" --clips "${CLIPS:-65536}" --part "${PART:-4096}" --batch "${ENCODE:-64}" \
    --spread "${SPREAD:-0.08}" --seed "${SEED:-29}" ${TUNE:-} --start "$start" --seconds $((experts - 60)) $extra &
stage experts $((experts + 25)) train_experts.py "$model" "$scratch/pool" "$out" --start "$start" --seconds "$experts" --batch "$batch" --capacity "${CAPACITY:-65536}" \
    --held "${HELD:-512}" --figure-weight "${FIGURE_WEIGHT:-3}" --low-per-high "${LOW_PER_HIGH:-2}" --muon-rate "${MUON_RATE:-2.5e-3}" --adam-rate "${ADAM_RATE:-1e-3}" \
    --streams "${STREAMS:-1}" $extra ${GRAPH:-} &
if [ "$decoder" -gt 0 ]; then
    awaited="$awaited vae"
    stage decoder "$limit" train_vae.py "$world" "$out" --resume "$model/vae/diffusion_pytorch_model.safetensors" --only-decoder --figure-weight 3 \
        --start "$start" --seconds "$decoder" --batch "${CROPS:-8}" --tests "${DECODED:-48}" $extra &
fi
sleep "${GAP:-$((experts - 95))}"
stage lightning $((lightning + 12)) train_lightning.py "$model" "$out" "$out" --start "$start" --seconds "$lightning" --experts-by $((experts + 15)) --batch "$batch" \
    --buffer "${BUFFER:-6144}" --prompts "${PROMPTS:-20000}" --guidance ${TEACHER_GUIDANCE:-4 4} ${NEW_PAIR:-} $extra ${GRAPH:-} &
while [ $(($(date +%s) - start)) -lt $((lightning - 15)) ]; do sleep 1; done
stage report "$limit" report.py "$model" "$out" "$out" --start "$start" --wait $((lightning + 10)) --tests "${TESTS:-200}" --steps "${STEPS:-40}" \
    --awaited $awaited --guidance ${GUIDANCE:-4 3} ${REPORT:-}
wait
for file in report.json vae.json vae.png; do [ -f "$out/$file" ] && mv "$out/$file" "$logs/"; done
cat "$logs"/*.log
tar czf "$out/logs.tgz" -C "$scratch" logs
