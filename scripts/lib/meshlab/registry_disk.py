"""The registry's disk: filled once from the example images, kept under build/, laid under every later lab.

Each lab sees the filled directory as the lower half of an overlay: it may push to its registry, other labs and later
runs never notice.
"""

import hashlib
import json
import os
import shutil
import tarfile

from .errors import LabError

STORAGE = "/var/lib/registry"


def image_files(images_dir):
    """Everything in the directory that is an image: docker archives (*.tar) and OCI layouts (directories)."""
    if not os.path.isdir(images_dir):
        return []
    paths = sorted(os.path.join(images_dir, name) for name in os.listdir(images_dir))
    return [path for path in paths if path.endswith(".tar") or os.path.isfile(os.path.join(path, "oci-layout"))]


def names_in(path):
    """The names an image file carries: RepoTags of an archive, ref.name annotations of a layout."""
    if path.endswith(".tar"):
        with tarfile.open(path) as archive:
            manifest = json.load(archive.extractfile("manifest.json"))
        return [tag for image in manifest for tag in image["RepoTags"] or []]
    with open(os.path.join(path, "index.json")) as file:
        manifests = json.load(file)["manifests"]
    tags = [one.get("annotations", {}).get("org.opencontainers.image.ref.name") for one in manifests]
    return [tag for tag in tags if tag]


def repository_of(name):
    """docker.io's path of a short name: nginx:1 is library/nginx:1, as every registry mirror has it."""
    name = name.removeprefix("docker.io/")
    if ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return name if "/" in name else "library/" + name


def source_of(path, name):
    """The image in skopeo's words."""
    return f"docker-archive:{path}:{name}" if path.endswith(".tar") else f"oci:{path}:{name}"


def _fingerprint(files):
    digest = hashlib.sha256()
    for path in files:
        inner = path if path.endswith(".tar") else os.path.join(path, "index.json")
        status = os.stat(inner)
        digest.update(f"{os.path.basename(path)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def cache_of(lab):
    """Directory of the filled storage for today's images, None while there are no images."""
    files = image_files(lab.images_dir)
    if not files:
        return None
    return os.path.join(os.path.dirname(lab.build_dir), "lab-registry", _fingerprint(files))


def overlays(lab):
    """[(lower, upper, work, mount point)] for the registry's file tree; empty before the first fill."""
    cache = cache_of(lab)
    if cache is None or not os.path.isdir(cache):
        return []
    own = os.path.join(lab.host_directory("registry"), "storage")
    return [(cache, os.path.join(own, "upper"), os.path.join(own, "work"), STORAGE)]


def keep(lab, storage):
    """Copies a freshly filled storage into the cache, atomically, and drops caches of older images."""
    cache = cache_of(lab)
    parent = os.path.dirname(cache)
    os.makedirs(parent, exist_ok=True)
    partial = f"{cache}.{lab.name}.partial"
    try:
        shutil.copytree(storage, partial)
        os.rename(partial, cache)
    except OSError as error:
        if not os.path.isdir(cache):  # another lab may have been faster
            raise LabError(f"cannot keep the registry's storage in {cache}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
