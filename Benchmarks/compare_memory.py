#!/usr/bin/env python3
"""One forward within limits of GPU memory: what was planned, what the driver counted, and the time beside that without a limit.

  compare_memory.py --swan swan [--sizes 832x480,1280x720] [--limits 4GiB,6GiB,8GiB,12GiB,16GiB,24GiB,32GiB]
      [--precision auto|fp8|int8] [--weights auto|pinned|file] [--json PATH]

Each line is a process of its own:
  swan bench cuda:0 --synthetic t2v-a14b --stages forward --size … --memory-limit … --json
While it runs, nvidia-smi is asked for the memory in use, ten times a second; what was in use before is taken off. A limit
is met if the driver's count stays within it. A limit that is refused (status 75) is shown with the sentence that says what
is needed. Nothing else may use the GPU meanwhile. Standard library only.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

NO_ROOM = 75  # swan's exit status for what has no room


def in_use(index):
    """MiB of the GPU's memory in use, by its driver."""
    done = subprocess.run(
        ["nvidia-smi", f"--id={index}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True,
        text=True)
    if done.returncode:
        sys.exit(f"nvidia-smi: {(done.stderr or done.stdout).strip()}")
    return int(done.stdout.split()[0])


def measured(command, index):
    """The process' end, and the most MiB that were in use while it ran, less those before."""
    before, most, is_done = in_use(index), [0], threading.Event()

    def watch():
        while not is_done.is_set():
            most[0] = max(most[0], in_use(index))
            is_done.wait(0.1)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    finally:
        is_done.set()
        watcher.join()
    return done, most[0] - before


def mebibytes(limit):
    number, unit = re.fullmatch(r"(\d+)(GiB|MiB)", limit).groups()
    return int(number) * (1024 if unit == "GiB" else 1)


def limits(text):
    parts = text.split(",")
    if unknown := [part for part in parts if not re.fullmatch(r"\d+(GiB|MiB)", part)]:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: expected something like 12GiB")
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swan", type=Path, required=True, help="the swan program")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--model", default="t2v-a14b", help="whose sizes: as of swan bench --synthetic")
    parser.add_argument("--sizes", type=lambda text: text.split(","), default=["832x480", "1280x720"])
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--limits", type=limits, default=limits("4GiB,6GiB,8GiB,12GiB,16GiB,24GiB,32GiB"))
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--runs", type=int, default=1, help="timed forwards behind the first")
    parser.add_argument("--json", type=Path, help="where to write every number, after each line")
    options = parser.parse_args()
    if not shutil.which(options.swan):
        parser.error(f"{options.swan} is not a program")
    index = int(options.device.split(":")[1]) if ":" in options.device else 0
    report = {"date": time.strftime("%Y-%m-%d"), "precision": options.precision, "weights": options.weights, "lines": []}
    is_broken = False
    for size in options.sizes:
        whole = None
        for limit in [None, *options.limits]:
            command = [options.swan, "bench", options.device, "--synthetic", options.model, "--stages", "forward", "--size",
                       size, "--frames", options.frames, "--runs", options.runs, "--precision", options.precision, "--json"]
            # Without a limit the weights lie where there is room for all of them.
            command += ["--memory-limit", limit, "--weights", options.weights] if limit else []
            done, driver = measured(command, index)
            line = {"size": size, "limit": limit, "status": done.returncode}
            if done.returncode == NO_ROOM:
                sentences = done.stderr.strip().splitlines()
                line["refusal"] = sentences[0].removeprefix("error: ") if sentences else ""
            elif done.returncode:
                sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}exited with {done.returncode}")
            else:
                answer = json.loads(done.stdout)
                seconds = answer["stages"][0]["seconds"]
                whole = whole or seconds
                line |= {"seconds": seconds, "speed": whole / seconds, "driver_mib": driver, "plan": answer.get("plan")}
                report["device"] = answer["device"]
                if limit and driver > mebibytes(limit):
                    line["exceeded"] = is_broken = True
            report["lines"].append(line)
            told = line.get("refusal") or (f"{line['seconds']:8.3f} s  {line['speed']:5.3f} of the speed without a limit  "
                                           f"driver {line['driver_mib']:6} MiB  {line['plan'] or ''}")
            print(f"{size:9} {limit or 'no limit':9} {told}{'  MORE THAN ALLOWED' if 'exceeded' in line else ''}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(report, indent=1))
    print(f"{report.get('device', options.device)}, {report['date']}")
    sys.exit(1 if is_broken else 0)


if __name__ == "__main__":
    main()
