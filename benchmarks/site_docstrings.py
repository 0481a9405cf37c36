"""An extension of griffe (mkdocs.yml): examples in docstrings, `>>> ...` and what follows, become blocks of code."""

from __future__ import annotations

from typing import Any, List

import griffe


class FencedExamples(griffe.Extension):  # type: ignore[misc]
    """Fences the examples of each docstring, which Markdown would take for quotations and links."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring is not None and ">>>" in obj.docstring.value:
            obj.docstring.value = fence_examples(obj.docstring.value)


def fence_examples(text: str) -> str:
    """Return the text with each paragraph that begins with `>>>` in a fence."""
    paragraphs: List[str] = []
    for paragraph in text.split("\n\n"):
        is_example = paragraph.lstrip().startswith(">>>")
        paragraphs.append(f"```pycon\n{paragraph}\n```" if is_example else paragraph)
    return "\n\n".join(paragraphs)
