"""The documentation about the product: complete, nothing made up, every link leads somewhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from house.repository import DOCS, ROOT, SAMPLES, blocks, blocks_in, documents, headings, name_of, prose
from milvus_rbac.api.v1alpha1 import GROUP, KINDS, Resource
from milvus_rbac.controller.metrics import Metrics, Standings
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.settings import Settings

OPERATIONS = DOCS / "operations.md"
TROUBLESHOOTING = DOCS / "troubleshooting.md"
TABLE_OF_REASONS = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
every_document = pytest.mark.parametrize("document", documents(), ids=name_of)


def page(kind: type[Resource]) -> Path:
    return DOCS / f"{kind.__name__.lower()}.md"


def manifests(text: str) -> Iterator[dict[str, Any]]:
    yield from (one for one in yaml.safe_load_all(text) if one)


def ours(text: str) -> Iterator[dict[str, Any]]:
    yield from (one for one in manifests(text) if one["apiVersion"].startswith(f"{GROUP}/"))


def kind_of(manifest: dict[str, Any]) -> type[Resource]:
    (kind,) = (kind for kind in KINDS if kind.__name__ == manifest["kind"])
    return kind


def anchors(document: Path) -> set[str]:
    """The anchors that a rendered document has."""
    titles = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


class TestReasons:
    def test_every_reason_has_an_entry_and_every_entry_is_a_reason(self) -> None:
        assert sorted(headings(TROUBLESHOOTING, 3)) == sorted(Reason)

    def test_every_entry_says_something(self) -> None:
        entries = re.split(r"^### ", TROUBLESHOOTING.read_text(), flags=re.MULTILINE)[1:]
        assert [entry.splitlines()[0] for entry in entries if len(entry.split()) < 15] == []

    @every_kind
    def test_the_page_of_a_kind_lists_only_reasons_and_each_once(self, kind: type[Resource]) -> None:
        text = page(kind).read_text().partition("### Reasons")[2].partition("\n#")[0]
        listed = [word for row in TABLE_OF_REASONS.findall(text) for word in re.findall(r"\w+", row)]
        assert Reason.READY in listed
        assert [word for word in listed if word not in set(Reason)] == []
        assert len(listed) == len(set(listed))


class TestKinds:
    @every_kind
    def test_every_kind_has_a_page_that_describes_every_field_of_its_spec(self, kind: type[Resource]) -> None:
        spec = kind.model_fields["spec"].annotation
        assert spec is not None
        fields = [field.alias for field in spec.model_fields.values()]
        assert [alias for alias in fields if alias not in headings(page(kind), 3)] == []

    @every_kind
    def test_every_kind_has_a_sample(self, kind: type[Resource]) -> None:
        samples = [one["kind"] for sample in SAMPLES.glob("*.yaml") for one in ours(sample.read_text())]
        assert kind.__name__ in samples

    @pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda sample: sample.name)
    def test_a_sample_fits_its_kind(self, sample: Path) -> None:
        for manifest in ours(sample.read_text()):
            kind_of(manifest).parse_spec(manifest)

    @every_document
    def test_the_yaml_of_a_document_fits_its_kind(self, document: Path) -> None:
        for block in blocks_in(document, "yaml"):
            for manifest in ours(block):
                kind_of(manifest).parse_spec(manifest)


class TestBlocks:
    """What is executed or applied is so in tests/integration: test_pages, test_install, test_migrating and test_crds."""

    @every_document
    def test_every_block_is_of_a_language_that_somebody_looks_at(self, document: Path) -> None:
        looked_at = {"", "bash", "console", "csv", "json", "python", "yaml", "yml"}
        assert {language for language, _ in blocks(document)} <= looked_at

    @every_document
    def test_blocks_of_data_can_be_read(self, document: Path) -> None:
        for language, text in blocks(document):
            if language == "json":
                json.loads(text)
            if language == "yml":
                assert all(list(yaml.safe_load_all(text)))


class TestTables:
    def test_every_setting_is_documented_and_no_other(self) -> None:
        known = {f"MILVUS_RBAC_{name.upper()}" for name in Settings.model_fields}
        rows = re.findall(r"^\| `(MILVUS_RBAC_\w+)` \|", OPERATIONS.read_text(), re.MULTILINE)
        assert sorted(rows) == sorted(known)

    @every_document
    def test_no_document_names_a_setting_that_is_not_there(self, document: Path) -> None:
        known = {f"MILVUS_RBAC_{name.upper()}" for name in Settings.model_fields} | {"MILVUS_RBAC_CACHE"}
        assert set(re.findall(r"MILVUS_RBAC_\w+", document.read_text())) - known == set()

    def test_every_metric_is_documented_with_its_type_and_no_other(self) -> None:
        known = {
            f"{metric.name}_total" if metric.type == "counter" else metric.name: metric.type
            for metric in (*Metrics().registry.collect(), *Standings({}, dict).collect())
        }
        rows = re.findall(r"^\| `(milvus_rbac_\w+)` \| (\w+) \|", OPERATIONS.read_text(), re.MULTILINE)
        assert dict(rows) == known


class TestLinks:
    @every_document
    def test_every_link_within_the_repository_leads_somewhere(self, document: Path) -> None:
        lost = []
        for target in LINK.findall(prose(document)):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            found = (document.parent / path).resolve() if path else document
            if (
                not found.exists()
                or not found.is_relative_to(ROOT)
                or (anchor and anchor not in anchors(found))
            ):
                lost.append(target)
        assert lost == []

    @pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda document: document.name)
    def test_every_page_can_be_reached_from_the_readme(self, document: Path) -> None:
        assert f"(docs/{document.name}" in (ROOT / "README.md").read_text()
