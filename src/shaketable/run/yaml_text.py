"""A scenario's tree as YAML text that reads back as the same tree, by the rules of `yaml_source`."""

from __future__ import annotations

import yaml

from shaketable.run.yaml_source import RESOLVERS, Plain


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either YAML 1.1 or 1.2 would take for something else than text."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *RESOLVERS.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *RESOLVERS}
}


def write_yaml(value: Plain) -> str:
    """Text of a value, its mappings in the order that they have."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118)
