"""One word has one meaning, and it is the field's: no code or page speaks a language of this project's own."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from house.repository import DOCS, ROOT, documents, name_of, sources

OLD_WORDS = [
    "corridor",
    "lobby",
    "farewell",
    "aftermath",
    "quarrel",
    "vault",
    "wallet",
    "teller",
    "ledger",
    "books",
    "news",
]
"""A reader of other controllers does not know these. Kubernetes has a word for each: reconciler, workqueue, memory, status."""
OLD_NAMES = {*OLD_WORDS, *["tools", "terms", "words", "homeless", "gate", "gates", "doors"]}
"""Good English, and bad names: they do not say what the value is."""
WEAK_VERBS = ("Say", "Tell", "Give", "See to")
"""A docstring says what is returned or done."""
OTHERS_WORDS = {
    ("docs/passwords.md", "vault"),  # HashiCorp's and others', where passwords come from
    ("docs/argocd.md", "vault"),
}

WORD = re.compile(rf"\b({'|'.join(OLD_WORDS)})s?\b", re.IGNORECASE)
PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


SOURCES = sources("operator", "tools")
PAGES = [page for page in documents() if page.parent == DOCS]

every_source = pytest.mark.parametrize("path", SOURCES, ids=name_of)


def texts(source: str) -> Iterator[str]:
    """The comments and strings of a module: docstrings, log messages, the help of metrics."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}:
            yield token.string


def names(source: str) -> Iterator[str]:
    """The names that a module defines or uses, but not those of the modules that it imports."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=asname):
                yield asname or ("" if "." in name else name)
            case ast.keyword(arg=str(name)):
                yield name
            case _:
                pass


def old_words(source: str) -> set[str]:
    in_texts = {found for text in texts(source) for found in WORD.findall(text)}
    in_names = {name for name in names(source) for part in PARTS.findall(name) if part.lower() in OLD_NAMES}
    return in_texts | in_names


def docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


@every_source
def test_code_uses_the_words_of_the_field(path: Path) -> None:
    assert old_words(path.read_text()) == set()
    assert {part for part in PARTS.findall(path.stem) if part in OLD_NAMES} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_uses_the_words_of_the_field(page: Path) -> None:
    found = {word.lower() for word in WORD.findall(page.read_text())}
    assert {word for word in found if (name_of(page), word) not in OTHERS_WORDS} == set()


@every_source
def test_a_docstring_says_what_is_returned_or_done(path: Path) -> None:
    weak = re.compile(rf"({'|'.join(WEAK_VERBS)})\b")
    assert [text.partition("\n")[0] for text in docstrings(path.read_text()) if weak.match(text)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("# the corridor of one connection", {"corridor"}),
        ('"""Keeps quarrels."""', {"quarrel"}),
        ('log.info("no Vault for %s", name)', {"Vault"}),
        ('f"{count} wallets"', {"wallet"}),
        ("class OldLedger: ...", {"OldLedger"}),
        ("def f(known_words): ...", {"known_words"}),
        ("self.tools = Tools()", {"tools", "Tools"}),
        ("from a import terms", {"terms"}),
        ("import tools.crdgen", set()),
        ("# the books that a library has", {"books"}),
        ("# newspapers and a bookstore", set()),
        ("# in the terms of the server, in other words", set()),
    ],
)
def test_an_old_word_would_be_found(source: str, found: set[str]) -> None:
    assert old_words(source) == found


def test_what_is_left_out_is_there() -> None:
    assert all(word in (ROOT / page).read_text().lower() for page, word in OTHERS_WORDS)
