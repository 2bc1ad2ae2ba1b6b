#!/usr/bin/env python3
"""Packs what `scripts/dist.sh` has built: dist.py PLUGIN CLI TARGET DIRECTORY.

Equal input makes equal files, byte by byte: entries are sorted, owners are 0, and the one time in them is
SOURCE_DATE_EPOCH. There are well-kept tools for bills of materials and for licences (cargo-cyclonedx, cargo-about), but
each takes longer to build than all of this project's plugin; what they would read, cargo itself prints.
"""

import gzip
import hashlib
import html.parser
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
# The engine of the playground lies inside the plugin.
PLUGIN_TARGETS = ["wasm32-wasip1", "wasm32-unknown-unknown"]
# Licences under which a crate may be here. Another one is a decision that a person has to take.
LICENCES = {"Apache-2.0", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"}
MUSL = """Copyright © 2005-2020 Rich Felker, et al.

Permission is hereby granted, free of charge, to any person obtaining
a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT.
IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def fail(message):
    sys.exit(f"dist: {message}")


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- what is in it


class Crates:
    """The crates that cargo knows of here, by (name, version)."""

    def __init__(self):
        metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
        self.packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
        lock = (ROOT / "Cargo.lock").read_text()
        found = re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"', lock)
        self.checksums = {(name, version): checksum for name, version, checksum in found}

    def graph(self, targets):
        """Who depends on whom, of what is linked for these targets: {crate: {crate}}, the first one being ours."""
        graph, path = {}, []
        for target in targets:
            tree = ["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth", "--target", target]
            for line in run("cargo", *tree).splitlines():
                depth, name, version = re.match(r"(\d+)(\S+) v(\S+)", line).groups()
                del path[int(depth) :]
                path.append((name, version))
                graph.setdefault(path[-1], set())
                if len(path) > 1:
                    graph[path[-2]].add(path[-1])
        return graph


def licence(package):
    """Its licence as an SPDX expression; fails for what is not to be here."""
    expression = (package["license"] or "").replace("/", " OR ")
    judged = re.sub(r"[A-Za-z0-9.-]+", lambda word: judge(word.group()), expression)
    if not expression or not eval(judged, {"__builtins__": {}}):  # of True, False, and, or and parentheses
        known = ", ".join(sorted(LICENCES))
        fail(f"{package['name']} {package['version']}: the licence {expression or '(none)'} is none of {known}")
    return expression


def judge(word):
    return {"AND": " and ", "OR": " or "}.get(word, str(word in LICENCES))


def licence_texts(package):
    """What its authors say of it, file by file."""
    directory = pathlib.Path(package["manifest_path"]).parent
    names = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicen[cs]e)", re.IGNORECASE)
    files = sorted(file for file in directory.iterdir() if file.is_file() and names.match(file.name))
    if package["license_file"]:
        files.append(directory / package["license_file"])
    texts = [file.read_text(errors="replace").replace("\r\n", "\n").strip() for file in dict.fromkeys(files)]
    if not any(texts):
        fail(f"{package['name']} {package['version']} comes without the text of its licence")
    return [text for text in texts if text]


class Text(html.parser.HTMLParser):
    """The text of a page."""

    def __init__(self):
        super().__init__()
        self.parts, self.skipped = [], 0

    def handle_starttag(self, tag, attrs):
        self.skipped += tag in ("style", "script", "title")

    def handle_endtag(self, tag):
        self.skipped -= tag in ("style", "script", "title")

    def handle_data(self, data):
        if not self.skipped:
            self.parts.append(data)


def standard_library():
    """The notices of Rust's standard library and what is in it, which its compiler comes with."""
    sysroot = pathlib.Path(run("rustc", "--print", "sysroot").strip())
    page = sysroot / "share/doc/rust/COPYRIGHT-library.html"
    if page.is_file():
        text = Text()
        text.feed(page.read_text())
        return re.sub(r"\n\s*\n+", "\n\n", "".join(text.parts)).strip()
    for file in sorted(pathlib.Path("/usr/share/doc").glob("libstd-rust*/copyright")):
        return file.read_text().strip()
    fail(f"the notices of Rust's standard library are neither at {page} nor in a package of Debian's")


def licences(crates, version, plugin, cli):
    """All that has to be said of the work of others, as one text."""
    by_text, listed = {}, []
    for crate in sorted({*plugin, *cli} - {("mcp-policy", version)}):
        package = crates.packages[crate]
        name = " ".join(crate)
        where = [what for what, graph in (("plugin", plugin), ("command line", cli)) if crate in graph]
        listed.append(f"{name} ({licence(package)}; {', '.join(where)}) {package['repository'] or ''}".rstrip())
        for text in licence_texts(package):
            by_text.setdefault(text, []).append(name)
    texts = [(", ".join(names), text) for text, names in by_text.items()]
    texts.append(("musl, and wasi-libc, which is made from it", MUSL))
    texts.append((f"Rust's standard library ({run('rustc', '--version').strip()})", standard_library()))
    head = f"mcp-policy {version} is under the Apache License 2.0. It holds code of others:"
    bar = "=" * 100
    return "\n".join([head, "", *listed, *(f"\n{bar}\n{names}\n{bar}\n\n{text}" for names, text in texts), ""])


def bill(crates, name, version, artifact, graph, parts={}):
    """A bill of materials (CycloneDX 1.5). `parts` are files inside of it, by name."""
    purl = lambda crate: "pkg:cargo/{}@{}".format(*crate)
    ours = next(iter(graph))
    own = crates.packages[ours]
    hashes = lambda data: [{"alg": "SHA-256", "content": sha256(data)}]
    components = []
    for crate in sorted(set(graph) - {ours}):
        package = crates.packages[crate]
        component = {"type": "library", "bom-ref": purl(crate), "name": crate[0], "version": crate[1]}
        component["description"] = " ".join((package["description"] or "").split())
        component["scope"] = "required"
        component["hashes"] = [{"alg": "SHA-256", "content": crates.checksums[crate]}]
        component["licenses"] = [{"expression": licence(package)}]
        component["purl"] = purl(crate)
        if package["repository"]:
            component["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        components.append(component)
    rust = run("rustc", "--version").split()[1]
    std = {"type": "library", "bom-ref": f"rust-std@{rust}", "name": "rust-std", "version": rust, "scope": "required"}
    std["description"] = "Rust's standard library"
    std["licenses"] = [{"expression": "MIT OR Apache-2.0"}]
    components.append(std)
    for part, data in parts.items():
        component = {"type": "file", "bom-ref": part, "name": part, "version": version}
        components.append({**component, "scope": "required", "hashes": hashes(data)})
    depends = {purl(crate): sorted(purl(other) for other in others) for crate, others in graph.items()}
    depends[purl(ours)] += [std["bom-ref"], *parts]
    described = {"type": "application", "bom-ref": purl(ours), "name": name, "version": version}
    described["description"] = own["description"]
    described["hashes"] = hashes(artifact)
    described["licenses"] = [{"expression": own["license"]}]
    described["purl"] = purl(ours)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": stamp, "component": described},
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": depends[ref]} for ref in sorted(depends)],
    }
    # The number is the document's own, and so the same for equal ones.
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(document, sort_keys=True))
    return json.dumps({"bomFormat": "CycloneDX", "serialNumber": f"urn:uuid:{serial}", **document}, indent=1) + "\n"


# --- how it is packed


def archive(entries, at):
    """A tar of {name: (mode, bytes)}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (mode, data) in sorted(entries.items()):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size, entry.mtime = mode, len(data), at
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zipped(data):
    return gzip.compress(data, compresslevel=9, mtime=0)


def image(version, module):
    """The files of an OCI image layout, and the digest of the image in it.

    One layer with `plugin.wasm`, which is what both Istio and Envoy Gateway unpack ("compat" in the specification of
    Wasm images that they share); layers of other types they take only in pairs. The platform is what `docker build`
    says, for those who look at it. No times: the digest changes when the plugin does, and not with every commit.
    """
    blobs = {}

    def blob(media_type, data):
        digest = sha256(data)
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    as_json = lambda value: json.dumps(value, separators=(",", ":")).encode()
    tar = archive({"plugin.wasm": (0o644, module)}, 0)
    layer = blob("layer.v1.tar+gzip", zipped(tar))
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{sha256(tar)}"]}
    config = blob("config.v1+json", as_json({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}))
    about = "org.opencontainers.image."
    annotations = {
        "module.wasm.image/variant": "compat",
        f"{about}title": "mcp-policy",
        f"{about}description": "A policy gateway for MCP as one WebAssembly file for Envoy",
        f"{about}version": version,
        f"{about}licenses": "Apache-2.0",
    }
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        # By which ghcr.io shows the image beside its sources.
        annotations[f"{about}source"] = f"https://github.com/{repository}"
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config}
    entry = blob("manifest.v1+json", as_json({**manifest, "layers": [layer], "annotations": annotations}))
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
    index["manifests"] = [{**entry, "annotations": {f"{about}ref.name": version}}]
    blobs["index.json"] = as_json(index)
    blobs["oci-layout"] = as_json({"imageLayoutVersion": "1.0.0"})
    return blobs, entry["digest"]


def command_line(cli, texts):
    """What the archive for one platform holds."""
    pages = pathlib.Path(tempfile.mkdtemp())
    run(cli, "man", pages)
    files = {"mcp-policy": (0o755, cli.read_bytes())}
    for name in ["LICENSE", "README.md", "CHANGELOG.md"]:
        files[name] = (0o644, (ROOT / name).read_bytes())
    for page in pages.iterdir():
        files[f"man/man1/{page.name}"] = (0o644, page.read_bytes())
    shutil.rmtree(pages)
    # By the names under which each shell looks for them.
    for shell, name in [("bash", "bash/mcp-policy"), ("zsh", "zsh/_mcp-policy"), ("fish", "fish/mcp-policy.fish")]:
        files[f"completions/{name}"] = (0o644, run(cli, "completions", shell).encode())
    return {**files, **texts}


def main(plugin, cli, target, directory):
    plugin, cli, directory = (pathlib.Path(path).resolve() for path in (plugin, cli, directory))
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    crates = Crates()
    in_plugin, in_cli = crates.graph(PLUGIN_TARGETS), crates.graph([target])
    module = plugin.read_bytes()
    name = f"mcp-policy-{version}"
    files = {f"{name}.wasm": module}
    files[f"{name}.wasm.cdx.json"] = bill(crates, "mcp-policy.wasm", version, module, in_plugin).encode()
    with_plugin = {crate: in_cli.get(crate, set()) | in_plugin.get(crate, set()) for crate in [*in_cli, *in_plugin]}
    materials = bill(crates, "mcp-policy", version, cli.read_bytes(), with_plugin, {f"{name}.wasm": module}).encode()
    files[f"{name}-{target}.cdx.json"] = materials
    texts = licences(crates, version, in_plugin, in_cli).encode()
    files[f"{name}-licenses.txt"] = texts
    about = {"THIRD-PARTY-LICENSES.txt": (0o644, texts), "mcp-policy.cdx.json": (0o644, materials)}
    inside = {f"{name}-{target}/{path}": file for path, file in command_line(cli, about).items()}
    files[f"{name}-{target}.tar.gz"] = zipped(archive(inside, EPOCH))
    layout, digest = image(version, module)
    files[f"{name}-oci.tar"] = archive({path: (0o644, data) for path, data in layout.items()}, EPOCH)
    files[f"{name}-oci.digest"] = f"{digest}\n".encode()
    sums = "".join(f"{sha256(data)}  {path}\n" for path, data in sorted(files.items()))
    files["SHA256SUMS"] = sums.encode()

    shutil.rmtree(directory, ignore_errors=True)
    for path, data in [*files.items(), *((f"oci/{path}", data) for path, data in layout.items())]:
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    for path, data in sorted(files.items()):
        print(f"{len(data):>9}  {path}")
    print(f"the image's digest is {digest}")


main(*sys.argv[1:])
