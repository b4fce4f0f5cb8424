#!/usr/bin/env python3
"""Swan beside its peer (PyTorch and diffusers) on this machine's GPU, in turns, on Wan2.2-T2V-A14B's shapes.

  compare_gpu.py --swan swan --python Benchmarks/.venv/bin/python [--stages forward,large,fp8,int8,decode,text,…]
      [--rounds 1] [--budget 200] [--json PATH]

Each round runs both as processes, in changing order:
  swan bench cuda:0 --synthetic t2v-a14b --stages … --size 832x480 --frames 81 --json
  python peers/gpu_peer.py --stages … --budget …
Both use random weights and inputs, bfloat16, 512 tokens of text, and report medians behind a call that warms up. One
process of Swan times one size; the peer does all in one, since importing and compiling take it half a minute. --budget
bounds the seconds of one run of the peer. Prints medians and ratios (above 1, Swan is faster), and writes every number
as JSON with --json PATH. Needs no Swift: the program, these scripts, and a Python with the packages of
peers/requirements.txt, by an environment or PYTHONPATH. --tiny tries the scripts on small shapes, on a CPU if --device
says so. Standard library only.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent

# Swan's measure, and the peer's stages that do the same work. Those of eight bits with a 16-bit peer are the fastest that
# either has.
MEASURES = {"forward": ["eager", "compiled"], "large": ["large"], "fp8": ["fp8"], "int8": ["fp8"],
            "fp8-exact": ["compiled"], "fp8-int8": ["compiled"], "large-fp8": ["large"], "large-fp8-int8": ["large"],
            "decode": ["decode", "decode-tuned"], "text": ["text"]}
# Of Swan's forwards: whether at the large size, the precision, the attention kernel.
FORWARDS = {"large": (True, "auto", "auto"), "fp8": (False, "fp8", "auto"), "int8": (False, "int8", "auto"),
            "fp8-exact": (False, "fp8", "auto"), "fp8-int8": (False, "fp8", "int8-sm90"),
            "large-fp8": (True, "fp8", "auto"), "large-fp8-int8": (True, "fp8", "int8-sm90")}


def run(command):
    """Standard output and wall seconds of a process that has to succeed; its errors go to ours."""
    command = [str(part) for part in command]
    print("$ " + " ".join(command), file=sys.stderr, flush=True)
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nexited with {done.returncode}")
    return done.stdout, time.perf_counter() - start


def swan(options):
    """Seconds of each measure, and what was said of the device."""
    result = {}
    named = [name for name in options.stages if name not in FORWARDS]
    calls = [(None, named, options.size, "auto", "auto")] if named else []
    for name in (name for name in options.stages if name in FORWARDS):
        is_large, precision, attention = FORWARDS[name]
        calls.append((name, ["forward"], options.large_size if is_large else options.size, precision, attention))
    for alone, stages, size, precision, attention in calls:
        output, seconds = run([
            options.swan, "bench", options.device, "--synthetic", "swan-tiny" if options.tiny else "t2v-a14b",
            "--stages", ",".join(stages), "--size", size, "--frames", options.frames, "--runs", options.runs,
            "--precision", precision, "--attention", attention, "--json"])
        report = json.loads(output)
        for stage in report["stages"]:
            name = alone or stage["stage"]
            result[name] = stage["seconds"]
            result[f"{name}_first"] = stage["first_seconds"]
            if stage.get("peak_bytes"):
                result[f"{name}_peak_bytes"] = stage["peak_bytes"]
        if not alone:
            result |= {"start": report["start_seconds"], "process": seconds}
        options.swan_device = report["device"]
    return result


def peer(options):
    """The same of the peer; stages that it had no time for, or could not run, are missing."""
    device = "cuda" if options.device.startswith("cuda") else options.device
    wanted = list(dict.fromkeys(stage for name in options.stages for stage in MEASURES[name]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peer.json"
        _, seconds = run([
            options.python, HERE / "peers/gpu_peer.py", "--stages", ",".join(wanted), "--size", options.size,
            "--large-size", options.large_size, "--frames", options.frames, "--runs", options.runs, "--budget",
            options.budget, "--device", device, "--json", path, *(["--tiny"] if options.tiny else [])])
        report = json.loads(path.read_text())
    stages = report.pop("stages")
    result = {"import": report["import_seconds"], "process": seconds}
    for name, stage in stages.items():
        if "seconds" not in stage:
            print(f"peer, {name}: {stage}", file=sys.stderr)
            continue
        result |= {name: stage["seconds"], f"{name}_first": stage["first_seconds"]}
        if "peak_bytes" in stage:
            result[f"{name}_peak_bytes"] = stage["peak_bytes"]
    options.peer_facts = report
    return result


def medians(rounds):
    """The median of each measure over the rounds that have it."""
    names = {name for numbers in rounds for name in numbers}
    return {name: statistics.median(numbers[name] for numbers in rounds if name in numbers) for name in names}


def table(ours, theirs, options):
    """Each of Swan's measures beside every stage of the peer that does the same work."""
    title = {"forward": f"forward {options.size}x{options.frames}", "decode": f"decode {options.size}x{options.frames}", "text": "text, 512 tokens"}
    for name, (is_large, precision, attention) in FORWARDS.items():
        words = [precision] * (precision != "auto") + [attention] * (attention != "auto")
        title[name] = " ".join([f"forward {options.large_size if is_large else options.size}x{options.frames}", *words])
    for name in options.stages:
        for stage in MEASURES[name]:
            if name not in ours or stage not in theirs:
                continue
            yield (f"{title[name]:39} swan {ours[name]:9.4f} s   peer, {stage:13} {theirs[stage]:9.4f} s"
                   f"   peer / swan {theirs[stage] / ours[name]:6.3f}")
    if ours.get("start") is not None:
        yield f"{'until work is under way':26} swan {ours['start']:9.2f} s   peer, importing alone {theirs['import']:5.2f} s"
    if "compiled_first" in theirs:
        yield f"{'first compiled forward':26} {'':16}   peer {theirs['compiled_first']:19.2f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swan", type=Path, required=True, help="the swan program")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the Python that has the peer's packages")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--stages", type=lambda text: text.split(","), default=["forward", "large", "fp8", "int8", "decode", "text"], help=f"of {','.join(MEASURES)}")
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--large-size", default="1280x720")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--runs", type=int, default=3, help="timed calls of each stage in a round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--budget", type=float, default=200, help="seconds of the peer in a round")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to try the scripts themselves")
    parser.add_argument("--json", type=Path, help="where to write every number")
    options = parser.parse_args()
    if unknown := [name for name in options.stages if name not in MEASURES]:
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    if not shutil.which(options.swan):
        parser.error(f"{options.swan} is not a program")

    rounds = {"peer": [], "swan": []}
    for turn in range(options.rounds):
        for name, measure in [("swan", swan), ("peer", peer)][::1 if turn % 2 == 0 else -1]:
            rounds[name].append(measure(options))
    facts = options.peer_facts
    version = run([options.swan, "--version"])[0].strip()
    report = {
        "device": facts["device"], "driver": facts.get("driver"), "date": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg(), "size": options.size, "large_size": options.large_size, "frames": options.frames,
        "rounds": rounds,
        "versions": {name: facts[name] for name in ("torch", "cuda", "cudnn", "diffusers", "transformers") if name in facts}
        | {"swan": version, "swan_device": options.swan_device}}
    print(f"{report['device']}, driver {report['driver']}, {report['date']}, median of {options.rounds} rounds")
    print("\n".join(table(medians(rounds["swan"]), medians(rounds["peer"]), options)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
