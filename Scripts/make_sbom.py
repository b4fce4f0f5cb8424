#!/usr/bin/env python3
"""Writes the bill of materials of an unpacked release, as SPDX 2.3 in JSON.

    Scripts/make_sbom.py FOLDER VERSION SCRATCH_PATH > sbom.spdx.json
"""
import datetime, hashlib, json, os, re, subprocess, sys

folder, version, scratch = sys.argv[1:]
epoch = os.environ.get("SOURCE_DATE_EPOCH") or subprocess.run(
    ["git", "-C", os.path.dirname(os.path.abspath(__file__)), "log", "-1", "--format=%ct"],
    capture_output=True, text=True, check=True).stdout.strip()


def debian(package):
    """Version and origin of an installed Debian or Ubuntu package."""
    found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\t${source:Package}\t${source:Version}", package],
                           capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"make_sbom: {package} is not installed as a package, so that its version cannot be told.")
    return found.stdout.split("\t")


def package(name, version, license, purpose, location="NOASSERTION", purl=None):
    entry = {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": version,
        "downloadLocation": location, "filesAnalyzed": False, "licenseConcluded": license, "licenseDeclared": license,
        "copyrightText": "NOASSERTION", "comment": purpose,
    }
    if purl:
        entry["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]
    return entry


packages = [package("swan", version, "Apache-2.0", "the program")]
swift = re.search(r"Swift version ([0-9.]+)", subprocess.run(
    ["swift", "--version"], capture_output=True, text=True, check=True).stdout).group(1)
packages.append(package("swift-runtime", swift, "Apache-2.0 WITH Swift-exception",
                        "standard library, FoundationEssentials and Dispatch, linked statically",
                        f"https://github.com/swiftlang/swift/tree/swift-{swift}-RELEASE"))
state = json.load(open(os.path.join(scratch, "workspace-state.json")))
for dependency in state["object"]["dependencies"]:
    reference = dependency["packageRef"]
    found = dependency["state"].get("checkoutState", {}).get("version", "NOASSERTION")
    packages.append(package(reference["name"], found, "Apache-2.0 WITH Swift-exception", "linked statically",
                            reference["location"], f"pkg:swift/{reference['location'].split('://')[-1]}@{found}"))
for name, binary, license, purpose in [
    ("sqlite", "libsqlite3-dev", "blessing", "linked statically"),
    ("sentencepiece", "libsentencepiece0", "Apache-2.0", "lib/swan/libsentencepiece.so.0"),
    ("onednn", "libdnnl2", "Apache-2.0", "lib/swan/libdnnl.so.2"),
    ("libgomp", "libgomp1", "GPL-3.0-or-later WITH GCC-exception-3.1", "lib/swan/libgomp.so.1"),
    ("opencl-icd-loader", "ocl-icd-libopencl1", "BSD-2-Clause", "lib/swan/libOpenCL.so.1; loaded by oneDNN, not used"),
]:
    found, source, source_version = debian(binary)
    distribution = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release") if "=" in line)["ID"].strip('"')
    packages.append(package(name, found, license, purpose,
                            purl=f"pkg:deb/{distribution}/{binary}@{found}?upstream={source}@{source_version}"))
packages.append(package("swan-tiny", version, "Apache-2.0", "share/swan/models/swan-tiny, trained by this project"))

files = []
for place, folders, names in os.walk(folder):
    folders.sort()
    for name in sorted(names):
        path = os.path.join(place, name)
        short = os.path.relpath(path, folder)
        if name == "sbom.spdx.json":
            continue  # it is being written
        data = open(path, "rb").read()
        files.append({
            "SPDXID": "SPDXRef-file-" + re.sub(r"[^A-Za-z0-9.-]", "-", short), "fileName": "./" + short,
            "checksums": [{"algorithm": kind.upper(), "checksumValue": hashlib.new(kind, data).hexdigest()}
                          for kind in ("sha1", "sha256")],
            "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION"})

digest = hashlib.sha256(json.dumps([packages, files], sort_keys=True).encode()).hexdigest()
relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-swan"}]
relations += [{"spdxElementId": "SPDXRef-swan", "relationshipType": "CONTAINS", "relatedSpdxElement": entry["SPDXID"]}
              for entry in packages[1:] + files]
json.dump({
    "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"swan-{version}",
    "documentNamespace": f"https://spdx.org/spdxdocs/swan-{version}-{digest[:32]}",
    "creationInfo": {"created": datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                     "creators": ["Tool: make_sbom.py"]},
    "packages": packages, "files": files, "relationships": relations,
}, sys.stdout, indent=1)
print()
