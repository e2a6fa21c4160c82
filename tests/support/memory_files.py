"""A file system in memory for Beam: mem://bucket/name.

As HDFS it renames to new names only, and it has no folders, as GCS and S3. Like
all of Beam's, it unpacks compressed files unless told otherwise.
"""

import gzip
import io

from apache_beam.io import filesystem

FILES = {}  # None for a file that may not be read


class _Written(io.BytesIO):
    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            FILES[self._path] = self.getvalue()
        super().close()


class MemoryFileSystem(filesystem.FileSystem):
    """Keeps files in FILES, by their paths."""

    @classmethod
    def scheme(cls):
        return "mem"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return path.rpartition("/")[::2]

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path, data in FILES.items():
            if path.startswith(dir_or_prefix):
                yield filesystem.FileMetadata(path, len(data or b""))

    def create(self, path, mime_type="", compression_type="auto"):
        return _Written(path)

    def open(self, path, mime_type="", compression_type="auto"):
        if FILES.get(path) is None:
            raise filesystem.BeamIOError(f"{path}: access denied")
        is_packed = path.endswith(".gz")
        if compression_type == filesystem.CompressionTypes.AUTO and is_packed:
            return gzip.GzipFile(fileobj=io.BytesIO(FILES[path]))
        return io.BytesIO(FILES[path])

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def rename(self, source_file_names, destination_file_names):
        for old, new in zip(
            source_file_names, destination_file_names, strict=True
        ):
            if new in FILES:
                raise filesystem.BeamIOError(f"{new} exists")
            FILES[new] = FILES.pop(old)

    def exists(self, path):
        return path in FILES

    def size(self, path):
        self._check(path)
        return len(FILES[path])

    def last_updated(self, path):
        return 0

    def metadata(self, path):
        return filesystem.FileMetadata(path, self.size(path))

    def checksum(self, path):
        return str(self.size(path))

    def delete(self, paths):
        for start in paths:
            for path in [path for path in FILES if path.startswith(start)]:
                del FILES[path]

    def _check(self, path):
        if path not in FILES:
            raise filesystem.BeamIOError(f"{path} does not exist")
