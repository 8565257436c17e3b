"""What `assets survey` and `scenario survey` share: a section for each folder, in a document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def survey_folders(
    folders: Sequence[str],
    out: Path | None,
    what: str,
    section: Callable[[str, Path], str],
    document: Callable[[list[str], str], str],
) -> None:
    """Survey folders, and write or print the document of them.

    Args:
        folders: "DIR" or "TITLE=DIR" each.
        out: The document, whose other text stays; None prints it.
        what: Is looked for below them, for the message.
        section: Makes the text of a folder, from its title and path.
        document: Makes the document, from its sections and what it was before.

    Raises:
        UsageError: One of them is no folder, or the document cannot be written.
    """
    from proveout.assets.files.atomic import write_atomic
    from proveout.training.cli.arguments import UsageError
    from proveout.training.run.failures import check_output

    if out is not None:
        check_output(out, "--out")
    sections = []
    for text in folders:
        title, _, name = text.rpartition("=")
        folder = Path(name)
        if not folder.is_dir():
            raise UsageError(f"{name} is not a folder; give one with {what} below it")
        sections.append(section(title or folder.name, folder))
    before = out.read_text() if out is not None and out.is_file() else ""
    told = document(sections, before)
    if out is not None:
        write_atomic(out, told)
    else:
        print(told)
