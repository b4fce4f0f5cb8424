#!/usr/bin/env python3
"""Writes the man page from what the program says of itself.

    swan --experimental-dump-help | Scripts/make_man_page.py VERSION > swan.1
"""
import json, sys


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def names(argument):
    if argument["kind"] == "positional":
        return f"\\fI{escaped(argument.get('valueName', ''))}\\fR"
    spelled = ", ".join(
        "\\fB" + escaped(("--" if name["kind"] == "long" else "-") + name["name"]) + "\\fR"
        for name in sorted(argument.get("names", []), key=lambda name: len(name["name"])))
    return spelled + (f" \\fI{escaped(argument['valueName'])}\\fR" if argument["kind"] == "option" else "")


def command(found, path, lines):
    full = " ".join(path)
    lines += [f".SS {escaped(full)}", escaped(found.get("abstract", ""))]
    if found.get("discussion"):
        lines += [".PP", ".nf", escaped(found["discussion"].strip("\n")), ".fi"]
    for argument in found.get("arguments", []):
        if not argument.get("shouldDisplay", True) or argument.get("valueName") in ("help", "version"):
            continue
        lines += [".TP", names(argument), escaped(argument.get("abstract") or "")]
    for child in found.get("subcommands", []):
        if child["commandName"] != "help" and child.get("shouldDisplay", True):
            command(child, path + [child["commandName"]], lines)


root = json.load(sys.stdin)["command"]
lines = [
    f'.TH SWAN 1 "" "swan {sys.argv[1]}" "User Commands"', ".SH NAME", "swan \\- " + escaped(root["abstract"]),
    ".SH SYNOPSIS", "\\fBswan\\fR \\fIcommand\\fR [\\fIoptions\\fR]", ".SH DESCRIPTION",
    "Makes video from text with Wan2.2, in one native program. Results go to standard output; progress, remarks and",
    "errors go to standard error.", ".SH COMMANDS",
]
for child in root["subcommands"]:
    if child["commandName"] != "help" and child.get("shouldDisplay", True):
        command(child, ["swan", child["commandName"]], lines)
lines += [".SH EXIT STATUS"]
for status, text in [(0, "done"), (64, "the call is wrong"), (65, "a file is damaged or holds something else"),
                     (66, "something that was named is not there"), (69, "something that is needed is unavailable"),
                     (70, "a fault of Swan itself"), (74, "reading or writing failed"),
                     (75, "not enough memory or room on the disk; refused before work began"), (130, "interrupted")]:
    lines += [".TP", str(status), text]
print("\n".join(lines))
