#!/usr/bin/env python3
"""Writes fuzz/seeds/TARGET/ from tests/cases/*.json and policies/: one small file for each input."""

import hashlib
import json
import pathlib
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS = ROOT / "fuzz/seeds"
MAX_BYTES = 1500
POST = [[":method", "POST"], ["content-type", "application/json"]]


def write(target, seed):
    seed = seed if isinstance(seed, bytes) else seed.encode()
    if 0 < len(seed) <= MAX_BYTES:
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha1(seed).hexdigest()[:12]).write_bytes(seed)


def rows(name):
    return json.loads((ROOT / "tests/cases" / f"{name}.json").read_text())


def block(lines):
    return "\n".join(f"{name}: {value}" for name, value in lines)


shutil.rmtree(SEEDS, ignore_errors=True)

answers = []
for row in rows("streams"):
    is_stream = "event-stream" in (row.get("content_type") or "") or "data:" in row["server"]
    write("sse" if is_stream else "list", row["server"])
    if not is_stream and row["server"].startswith("{"):
        write("sse", f"data: {row['server']}\n\n")
    label = [["content-type", row["content_type"]]] if row.get("content_type") else []
    answers.append([[":status", row.get("status", "200")], *label])
for row in rows("requests"):
    write("request", bytes(row["body_bytes"]) if row.get("body_bytes") else row.get("body") or "")
    changed = row.get("headers") or []
    names = [name for name, _ in changed]
    lines = [line for line in POST if line[0] not in names] + [line for line in changed if line[1] is not None]
    write("headers", f"{block(lines)}\n\n{block(answers[0])}")
for answer in answers:
    write("headers", f"{block(POST)}\n\n{block(answer)}")
for row in rows("documents"):
    document = row["document"]
    write("policy", document if isinstance(document, str) else json.dumps(document, separators=(",", ":")))
for path in sorted((ROOT / "policies").glob("*.json")):
    if not path.name.endswith(".cases.json"):
        write("policy", json.dumps(json.loads(path.read_text()), separators=(",", ":")))
for one, other in [("1", "1.0"), ("0", "-0"), ("1e2", "100"), ("9007199254740993", "9007199254740992"), ("1e-400", "0"),
                   ("-1.50", "-15E-1"), ("0.1", "1e-1"), ("123e300", "1.23e302"), ("1", "x")]:
    write("number", f"{one}\n{other}")
