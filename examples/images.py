"""Container images as values, and their bytes: layers (tar), config and manifest (Docker image format, schema 2).

The same input gives the same bytes, and so the same digests: no time, no owner, no order of a directory gets in.
Config keys that the OCI format has no place for (Healthcheck) are kept, because no other tool rewrites them.
"""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CREATED = "2024-01-01T00:00:00Z"
SECOND = 1_000_000_000  # durations in a config are nanoseconds


class Layer:
    """A file tree in the making: path in the image -> (mode, bytes | link target | None for a directory)."""

    def __init__(self):
        self._entries = {}
        self._tar = None

    def directory(self, path, mode=0o755):
        self._add(path, stat.S_IFDIR | mode, None)
        return self

    def file(self, path, content, mode=0o644):
        self._add(path, stat.S_IFREG | mode, content if isinstance(content, bytes) else content.encode())
        return self

    def link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target)
        return self

    def copy(self, path, source):
        """The file that `source` names in the end, with its permission bits."""
        with open(source, "rb") as opened:
            return self.file(path, opened.read(), os.fstat(opened.fileno()).st_mode & 0o755)

    def _add(self, path, mode, content):
        path = path.strip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self._entries:
            self.directory(parent)
        self._entries[path] = (mode, content)
        self._tar = None

    def paths(self):
        return set(self._entries)

    def tar(self):
        """The uncompressed layer."""
        if self._tar is None:
            self._tar = write_tar((path, *self._entries[path]) for path in sorted(self._entries))
        return self._tar

    def blob(self):
        """The layer as a registry holds it."""
        return gzip.compress(self.tar(), compresslevel=6, mtime=0)


def write_tar(entries):
    """`entries`: (path, mode with type, content); the end is padded as tar demands."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, mode, content in entries:
            info = tarfile.TarInfo(path)
            info.mode = stat.S_IMODE(mode)
            if stat.S_ISDIR(mode):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif stat.S_ISLNK(mode):
                info.type = tarfile.SYMTYPE
                info.linkname = content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Image:
    """`references`: repository:tag names without a registry. `config`: as in `docker image inspect`."""

    def __init__(self, name, layers, config, references):
        self.name = name
        self.layers = layers
        self.config = config
        self.references = references

    def config_bytes(self):
        return to_json({
            "architecture": "amd64",
            "os": "linux",
            "created": CREATED,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer.tar()) for layer in self.layers]},
            "history": [{"created": CREATED, "created_by": "examples/build"} for _ in self.layers],
        })


def to_json(value):
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def health(command, start_interval=0.5):
    """Often while the container starts, seldom afterwards."""
    return {
        "Test": ["CMD", *command],
        "Interval": 10 * SECOND,
        "Timeout": 5 * SECOND,
        "Retries": 3,
        "StartPeriod": 30 * SECOND,
        "StartInterval": int(start_interval * SECOND),
    }


def write_file(path, content):
    """Never half a file under its final name."""
    part = path + ".part"
    with open(part, "wb") as opened:
        opened.write(content)
    os.replace(part, path)


class Writer:
    """Writes images below one directory, a layer that several images share only once (hard links)."""

    def __init__(self, directory):
        self._directory = directory
        self._blobs = {}  # layer -> (path of the blob, descriptor)

    def write(self, image):
        """As skopeo's `dir:` layout, in <directory>/<name>. Returns the manifest's digest."""
        directory = os.path.join(self._directory, image.name)
        os.makedirs(directory, exist_ok=True)
        for old in os.listdir(directory):
            os.unlink(os.path.join(directory, old))
        config = image.config_bytes()
        manifest = to_json({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, config),
            "layers": [self._write_layer(directory, layer) for layer in image.layers],
        })
        write_file(os.path.join(directory, hex_of(config)), config)
        write_file(os.path.join(directory, "manifest.json"), manifest)
        write_file(os.path.join(directory, "version"), b"Directory Transport Version: 1.1\n")
        return digest_of(manifest)

    def _write_layer(self, directory, layer):
        if layer not in self._blobs:
            blob = layer.blob()
            path = os.path.join(directory, hex_of(blob))
            write_file(path, blob)
            self._blobs[layer] = (path, descriptor(LAYER_TYPE, blob))
        first, described = self._blobs[layer]
        path = os.path.join(directory, os.path.basename(first))
        if path != first:
            os.link(first, path)
        return described


def hex_of(content):
    return hashlib.sha256(content).hexdigest()


def descriptor(media_type, content):
    return {"mediaType": media_type, "size": len(content), "digest": digest_of(content)}


def write_archive(image, path):
    """As `docker save` writes it: one tar of config, layers and an index of names."""
    config = image.config_bytes()
    layers = [(hex_of(layer.tar()) + "/layer.tar", layer.tar()) for layer in image.layers]
    index = [{"Config": hex_of(config) + ".json", "RepoTags": image.references, "Layers": [name for name, _ in layers]}]
    entries = [(hex_of(config) + ".json", config), *layers, ("manifest.json", to_json(index))]
    write_file(path, write_tar((name, stat.S_IFREG | 0o644, content) for name, content in entries))
