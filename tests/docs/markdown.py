"""What the tests read out of a Markdown document: fenced blocks, commands, code spans, links, headings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

READER = MarkdownIt("commonmark").enable("table")
ADDRESS = re.compile(r"\b(?:src|srcset|href)=\"([^\"]+)\"")
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
OPERATORS = {"|", "||", "&", "&&", ";", "(", ")", "do", "then", "else", "{", "!"}
NOT_PROGRAMS = {"for", "done", "fi", "}", "if", "while", "set", ""}


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its info string, its text, and why it is not run, where a comment says so."""

    line: int
    info: str
    text: str
    not_run: str = ""


@dataclass(frozen=True)
class Command:
    """One command of a `sh` block: the line it begins on, and its text as a reader would paste it."""

    line: int
    text: str

    def calls(self) -> list[list[str]]:
        """The programs this command runs, each with its arguments; redirections are left in."""
        lexer = shlex.shlex(self.text.replace("\\\n", " ").replace("\n", ";"), posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        calls: list[list[str]] = [[]]
        for word in _without_comment(lexer):
            if word in OPERATORS:
                calls.append([])
            else:
                calls[-1].append(word)
        return [call for call in calls if call and call[0] not in NOT_PROGRAMS]


def _without_comment(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("#"):
            return
        yield word


def blocks(text: str) -> list[Block]:
    """The fenced blocks, in order."""
    return [
        Block(token.map[0] + 1, token.info.strip(), token.content, reason[1] if reason else "")
        for before, token in pairwise([Token("", "", 0), *READER.parse(text)])
        if token.type == "fence"
        for reason in [NOT_RUN.search(before.content)]
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a `sh` block: lines joined at a trailing backslash and up to `done`, without comment lines."""
    found, begun, first = [], "", 0
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        first = first if begun else number
        begun += line
        if line.endswith("\\") or (begun.startswith("for ") and not begun.rstrip().endswith("done")):
            begun += "\n"
            continue
        if begun.strip() and not begun.lstrip().startswith("#"):
            found.append(Command(first, begun))
        begun = ""
    return found


def tokens(text: str) -> Iterator[Token]:
    """The parts of a document, each before what it holds."""
    for token in READER.parse(text):
        yield from (token, *(token.children or ()))


def spans(text: str) -> list[str]:
    """Inline code, in order."""
    return [token.content for token in tokens(text) if token.type == "code_inline"]


def links(text: str) -> list[str]:
    """Targets of links and images, in order."""
    found: list[str] = []
    for token in tokens(text):
        found += [str(token.attrs[name]) for name in ("href", "src") if name in token.attrs]
        found += ADDRESS.findall(token.content) if token.type in ("html_block", "html_inline") else []
    return found


def anchors(text: str) -> set[str]:
    """The anchors GitHub gives the headings."""
    found = [token.content for before, token in pairwise(READER.parse(text)) if before.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
