"""No module of ours imports another one in a circle, at its top or within a function."""

from __future__ import annotations

from collections.abc import Iterator

import grimp

ROOTS = ("proveout.assets", "proveout.envs", "proveout.policies", "proveout.training")


def circles(graph: grimp.ImportGraph) -> Iterator[set[str]]:
    """Yield the sets of modules that import each other, directly or by others."""
    left = set(graph.modules)
    while left:
        module = left.pop()
        both = graph.find_upstream_modules(module) & graph.find_downstream_modules(module)
        both -= {module}
        left -= both
        if both or graph.direct_import_exists(importer=module, imported=module):
            yield both | {module}


def test_a_circle_is_found() -> None:
    graph = grimp.ImportGraph()
    for module in ("a", "b", "c", "d"):
        graph.add_module(module)
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")):
        graph.add_import(importer=importer, imported=imported)
    assert list(circles(graph)) == [{"a", "b", "c"}]


def test_nothing_imports_in_a_circle_but_for_type_hints() -> None:
    graph = grimp.build_graph(*ROOTS, exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) > 150
    assert list(circles(graph)) == []
