"""Where a robot file may find its meshes: in its own folder, its package and the given roots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from proveout.assets.files.errors import ModelError

PACKAGE_SCHEMES = ("package", "model")
_LEVELS = 5  # folders above a robot file in which its package is looked for


@dataclass(frozen=True)
class Places:
    """Folders that a robot file may read from.

    Attributes:
        file: The robot file.
        roots: Folders given by the user, in which a package NAME is NAME/ or the folder itself.
    """

    file: Path
    roots: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """Of the robot file, absolute."""
        return self.file.resolve().parent

    def find(self, name: str, where: str) -> Path:
        """Return the file that a robot file names.

        package://NAME/FILE is looked for as NAME/FILE and as FILE in each root, then in the folders
        above the robot file, then by its bare name beside it. Any other name is relative to the
        folder of the robot file; where that leaves the folder, the roots and the package (the
        nearest folder above with a package.xml) are the only other places.

        Args:
            name: As it stands in the file.
            where: What names it, for an error, such as "link 'base'".

        Raises:
            ModelError: There is no such file, or it lies outside all these folders.
        """
        outside = False
        tried: list[Path] = []
        for path, inside in self._candidates(name):
            tried.append(path.parent)
            try:
                if not path.is_file():
                    continue
                if path.resolve().is_relative_to(inside.resolve()):
                    return path.resolve()
            except (OSError, ValueError):  # a name that no file can have
                continue
            outside = True
        if outside:
            raise ModelError(
                f"robot file {self.file}: {where} names {name}, which lies outside its folder; "
                f"give the folder that holds it as a root (--roots)."
            )
        folder = tried[0] if tried else self.folder
        raise ModelError(
            f"robot file {self.file}: {where} needs the file {name}, which is not in {folder}; put "
            f"it there, or give the folder of its package as a root (--roots)."
        )

    def _candidates(self, name: str) -> Iterator[tuple[Path, Path]]:
        """Pairs of a path to try and the folder that it may not leave."""
        try:
            url = urlsplit(name)
        except ValueError:
            return
        if url.scheme in PACKAGE_SCHEMES:
            package, rest = unquote(url.netloc), unquote(url.path).lstrip("/")
            for root in (*self.roots, *self._above()):
                yield root / package / rest, root / package
                yield root / rest, root
            yield self.folder / PurePosixPath(rest).name, self.folder
            return
        text = unquote(url.path) if url.scheme == "file" else name.replace("\\", "/")
        for inside in (self.folder, *self.roots, *self._package()):
            yield self.folder / text, inside
        for root in self.roots:
            yield root / text, root

    def _above(self) -> Iterator[Path]:
        """Folders above the file, without the top of the file system."""
        folders: Sequence[Path] = self.file.resolve().parents
        yield from (folder for folder in folders[: _LEVELS + 1] if folder.parent != folder)

    def _package(self) -> Iterator[Path]:
        """The ROS package that holds the file, if any."""
        for folder in self._above():
            if (folder / "package.xml").is_file():
                yield folder
                return
