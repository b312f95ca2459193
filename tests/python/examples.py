"""Runs the fenced examples of Markdown documents.

`examples.py FILE...` executes every ```python block, each in a namespace of its own.
`examples.py --shell BINARY FILE` executes every ```sh block that needs no other machine, with `portcullis` standing for BINARY.
"""

import re
import subprocess
import sys
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path, language: str) -> list[tuple[int, str]]:
    """The blocks of a language, each with the line it begins on."""
    text = document.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start(2)) + 1, match.group(2))
        for match in FENCE.finditer(text)
        if match.group(1) == language
    ]


def run_python(documents: list[Path]) -> None:
    """Executes every Python block; a failure shows the document's own line."""
    for document in documents:
        found = blocks(document, "python")
        assert found, f"{document} has no Python example"
        for line, source in found:
            print(f"-- {document.name}:{line}", flush=True)
            code = compile("\n" * (line - 1) + source, str(document), "exec")
            exec(code, {"__name__": "__main__"})


def run_shell(binary: str, document: Path) -> None:
    """Executes every shell block but those that go to other machines."""
    local = [source for _, source in blocks(document, "sh") if "ssh " not in source]
    assert local, f"{document} has no shell example"
    for source in local:
        script = f'portcullis() {{ "{binary}" "$@" --quiet; }}\n{source}'
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "--shell":
        run_shell(sys.argv[2], Path(sys.argv[3]))
    else:
        run_python([Path(name) for name in sys.argv[1:]])
