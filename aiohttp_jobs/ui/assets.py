"""The page's files, compressed in memory, under a common fingerprint. ``routes`` serves them.

All share one fingerprint, so that modules can import each other by relative paths (an import map would need
an inline script), and browsers can cache every file forever.
"""

from __future__ import annotations

import functools
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ..errors import ConfigurationError

_FOLDER = Path(__file__).with_name("assets")
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
        ".png": "image/png",
        ".txt": "text/plain; charset=utf-8",
    }
)
_IMPORT = re.compile(r"""^(?:import|export)\b[^'"]*?\bfrom\s*["'](\.[^"']+)["']""", re.MULTILINE)
_MODULES = (".js", ".mjs")
_LOGO_TYPES = frozenset({".svg", ".png"})
_MOST_LOGO_BYTES = 256 * 1024
_LEVEL, _AS_GZIP = 6, 16 + zlib.MAX_WBITS
"""Of 500 kB there are 181 kB left, after 16 ms; level 9 makes them one thousandth smaller, after 19."""


class Asset:
    """One file, kept as it is sent.

    `compressed` is the file as gzip (RFC 1952), in which nearly every browser asks for it; ``None`` for
    pictures, which do not get smaller. `imports` are the modules that it imports when it is loaded.
    """

    def __init__(self, body: bytes, content_type: str, imports: Sequence[str] = ()) -> None:
        self.content_type = content_type
        self.imports = imports
        is_picture = content_type == _TYPES[".png"]
        self.compressed = None if is_picture else zlib.compress(body, _LEVEL, _AS_GZIP)
        self._kept = body if self.compressed is None else self.compressed

    @property
    def body(self) -> bytes:
        """The file itself."""
        return self._kept if self.compressed is None else zlib.decompress(self.compressed, _AS_GZIP)


@dataclass(frozen=True)
class Assets:
    """The files by their path below ``ui/<fingerprint>/``."""

    fingerprint: str
    files: Mapping[str, Asset]

    def preloads(self, entry: str) -> list[str]:
        """`entry` and all modules that it imports, for browsers to fetch in parallel."""
        found: list[str] = []
        waiting = [entry]
        while waiting:
            path = waiting.pop()
            if path not in found:
                found.append(path)
                waiting += self.files[path].imports
        return found

    def with_logo(self, logo: Logo) -> Assets:
        """These and the host's picture, as ``logo.svg`` or ``logo.png``."""
        fingerprint = hashlib.sha256(self.fingerprint.encode() + logo.body).hexdigest()[:16]
        return Assets(fingerprint, {**self.files, logo.name: Asset(logo.body, _TYPES[logo.suffix])})


class Logo:
    """The host's picture in the file `path`. Raises `ConfigurationError` for one that cannot be used."""

    def __init__(self, path: Path) -> None:
        self.suffix = path.suffix.lower()
        if self.suffix not in _LOGO_TYPES:
            raise ConfigurationError(f"ui_logo: {path} must be an SVG or PNG file.")
        try:
            self.body = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"ui_logo: {path} cannot be read: {error.strerror}.") from None
        if len(self.body) > _MOST_LOGO_BYTES:
            raise ConfigurationError(f"ui_logo: {path} is larger than {_MOST_LOGO_BYTES} bytes.")
        self.name = f"logo{self.suffix}"


@functools.cache
def package_assets() -> Assets:
    """The package's files. Blocks for some milliseconds the first time."""
    digest = hashlib.sha256()
    files: dict[str, Asset] = {}
    for path in sorted(_FOLDER.rglob("*")):
        if path.suffix not in _TYPES:
            continue
        name, body = path.relative_to(_FOLDER).as_posix(), path.read_bytes()
        digest.update(name.encode() + b"\0" + hashlib.sha256(body).digest())
        files[name] = Asset(body, _TYPES[path.suffix], _imports(name, body))
    return Assets(digest.hexdigest()[:16], files)


def _imports(path: str, body: bytes) -> list[str]:
    """The paths of what a module imports when it is loaded, and not later; nothing for what is no module."""
    if not path.endswith(_MODULES):
        return []
    folder = PurePosixPath(path).parent
    return [_normal(folder / relative) for relative in _IMPORT.findall(body.decode())]


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
