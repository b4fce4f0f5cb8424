#!/usr/bin/env python3
"""Swan beside its peer (PyTorch and diffusers) on this machine's CPU, in turns within one run.

  compare_cpu.py --swan .build/release/swan --python Benchmarks/.venv/bin/python \\
      --model FOLDER --lora-high FILE --lora-low FILE [--rounds 5] [--cpus 0,1]

Each round runs the kernels of both and one whole generation of both as processes, in changing order. Swan is
called as
  swan bench cpu --json [--model FOLDER]    -> {"block_seconds": …, "vae_seconds": …, …} on standard output
  swan generate PROMPT --model FOLDER --device cpu --precision fp32 --size 128x128 --frames 25 --steps 4 --solver euler …
and the peer as peers/cpu_peer.py says. Prints medians, their ratios, and every number as JSON with --json PATH.
A process's memory is the largest resident set of it and of the children that it waited for.
Standard library only.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PROMPT = "a cat walking on the grass"


def run(command, cpus):
    """Standard output, wall seconds and peak bytes of a process that has to succeed."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(len(cpus)), MKL_NUM_THREADS=str(len(cpus)), HF_HUB_OFFLINE="1")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=errors, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))}\nexited with {process.returncode}:\n{errors.read().decode()[-2000:]}")
        return out.read().decode(), seconds, usage.ru_maxrss * 1024


def last_json(text):
    """The last line of the output that is a JSON object."""
    return json.loads(next(line for line in reversed(text.splitlines()) if line.startswith("{")))


def swan_kernels(options):
    model = ["--model", options.model] if options.model else []
    result = last_json(run([options.swan, "bench", "cpu", "--json", *model], options.cpus)[0])
    return {"block": result["block_seconds"], "vae": result.get("vae_seconds")}


def peer_kernels(options):
    model = ["--model", options.model] if options.model else []
    command = [options.python, HERE / "peers/cpu_peer.py", "kernels", "--threads", len(options.cpus), *model]
    result = last_json(run(command, options.cpus)[0])
    return {"block": result["block"]["median"], "vae": result.get("vae", result["vae16"])["median"]}


def generation(command, options, folder, name):
    """Seconds and bytes of a whole process that writes `name`.mp4."""
    loras = [part for expert in ("high", "low") if (path := getattr(options, f"lora_{expert}"))
             for part in (f"--lora-{expert}", path)]
    output = folder / f"{name}.mp4"
    _, seconds, peak = run([*command, *loras, "--model", options.model, "--seed", 42, "--output", output], options.cpus)
    if not output.stat().st_size:
        sys.exit(f"{name} wrote an empty video")
    output.unlink()
    return {"generate": seconds, "generate_peak_bytes": peak}


def swan_generate(options, folder):
    return generation(
        [options.swan, "generate", PROMPT, "--device", "cpu", "--precision", "fp32", "--size", "128x128", "--frames", 25, "--fps", 16,
         "--steps", 4, "--solver", "euler", "--shift", 5, "--guidance", 1], options, folder, "swan")


def peer_generate(options, folder):
    return generation(
        [options.python, HERE / "peers/cpu_peer.py", "generate", "--prompt", PROMPT, "--threads", len(options.cpus)],
        options, folder, "peer")


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swan", type=Path, help="the swan binary; without it only the peer runs")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the Python that has the peer's packages")
    parser.add_argument("--model", type=Path, help="a folder in the diffusers layout; without it no generation")
    parser.add_argument("--lora-high", type=Path)
    parser.add_argument("--lora-low", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpus", type=lambda text: {int(part) for part in text.split(",")}, default=os.sched_getaffinity(0))
    parser.add_argument("--json", type=Path, help="where to write every number")
    options = parser.parse_args()
    if options.swan and not shutil.which(options.swan):
        parser.error(f"{options.swan} is not a program")

    contestants = {"peer": (peer_kernels, peer_generate)}
    if options.swan:
        contestants["swan"] = (swan_kernels, swan_generate)
    results = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory() as folder:
        if options.model:                               # the first run of each reads its files from the disk
            for _, generate in contestants.values():
                generate(options, Path(folder))
        for turn in range(options.rounds):
            order = list(contestants) if turn % 2 else list(reversed(contestants))
            for name in order:
                kernels, generate = contestants[name]
                results[name].append(kernels(options) | (generate(options, Path(folder)) if options.model else {}))
            print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)

    report = {"processor": processor(), "cpus": sorted(options.cpus), "date": time.strftime("%Y-%m-%d"),
              "load": os.getloadavg(), "rounds": results}
    print(f"{report['processor']}, {len(options.cpus)} threads, {report['date']}, median of {options.rounds} rounds")
    for measure in results["peer"][0]:
        medians = {name: statistics.median(values) for name, rounds in results.items()
                   if (values := [r[measure] for r in rounds if r.get(measure) is not None])}
        scale, unit = (2**-20, "MiB") if measure.endswith("bytes") else (1, "s")
        row = "  ".join(f"{name} {value * scale:10.3f} {unit}" for name, value in medians.items())
        ratio = f"  peer / swan {medians['peer'] / medians['swan']:.2f}" if len(medians) == 2 else ""
        print(f"{measure:20} {row}{ratio}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
