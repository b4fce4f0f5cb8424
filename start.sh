#!/usr/bin/env bash
# From a bare machine to a video: installs what is missing, builds, fetches the model, generates.
#
#   ./start.sh "A cat walking on the grass" [options of swan generate]
#
# The video lands in the folder that you stand in. With --model NAME the model is fetched first where it is not here.
# With --detach the run goes on in the background, after you have logged out too. Start it again after any interruption:
# what is done is not done twice.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
program=$root/.build/release/swan
# Written after a build, with the time at which the build began.
stamp=$root/.build/start-built

say() { printf '%s\n' "$*" >&2; }

if (($# == 0)); then
    say 'usage: ./start.sh "PROMPT" [options]'
    say
    say '  ./start.sh "A cat walking on the grass"'
    say '  ./start.sh "A rocket flying up in space" --seed 7 --output rocket.mp4'
    say '  ./start.sh "A rocket flying up in space" --detach'
    say '  ./start.sh "A cat walking on the grass" --model wan2.2-t2v-a14b'
    say
    say "Options are those of \`swan generate\`: ./start.sh --help"
    exit 64
fi

is_built() {
    [[ -x $program && -e $stamp ]] || return 1
    # Folders count as well: removing a file changes its folder.
    [[ -z $(find "$root/Package.swift" "$root/Sources" -newer "$stamp" -print -quit) ]] || return 1
    [[ ! $root/Package.resolved -nt $stamp ]]
}

"$root/Scripts/bootstrap"

if ! is_built; then
    say "Building Swan in release mode. The first time takes minutes, and fetches a few MB of Swift packages."
    mkdir -p "$root/.build"
    begin=$(mktemp "$root/.build/start-begin.XXXXXX")
    trap 'rm -f -- "$begin"' EXIT
    swift build --package-path "$root" -c release --product swan </dev/null >&2 || {
        say "The build failed; the lines above say why. A build without network needs the packages of an earlier one."
        exit 70
    }
    # The build may have written Package.resolved; that is no change to build again for.
    if [[ -e $root/Package.resolved ]]; then touch -r "$begin" -- "$root/Package.resolved"; fi
    mv -f -- "$begin" "$stamp"
    trap - EXIT
fi

# Libraries, ffmpeg and GPUs, in a tenth of a second: said only where videos could not be made.
if ! found=$("$program" doctor 2>&1); then
    say "$found"
    exit 69
fi

# NVIDIA's libraries, where there is a GPU that lacks them: without them the CPU would do the work.
if grep -q -- 'doctor --fix' <<<"$found"; then
    "$program" doctor --fix >&2 || say "Without these libraries the GPU is slower, or not used."
fi

# The model, where it is one of `swan models` that is not here: says what it fetches and how large that is before it
# begins, and goes on where an interruption left it.
model=
for ((i = 1; i <= $#; i++)); do
    case ${!i} in
    --model=*) model=${!i#--model=} ;;
    --model) ((i == $#)) || { next=$((i + 1)) && model=${!next}; } ;;
    esac
done
if [[ -n $model && $model != swan-tiny && ! -e $model ]] && "$program" models "$model" >/dev/null 2>&1 &&
    ! "$program" pull "$model" --offline >/dev/null 2>&1; then
    "$program" pull "$model" >/dev/null || exit
fi

# Checks the model's files, the device, its memory and the disk's room before it begins, and says what is missing.
exec "$program" generate "$@"
