"""What an entry of a row change must hold, by the options of its table's watch."""

import json

from .printed import Table

SUFFIXES = {"insert": "created", "update": "updated", "delete": "deleted", "truncate": "truncated"}
SHOWN = ["category", "id", "name", "org", "also", "before", "after"]
DEFAULTS = {
    "target_type": "doc", "target_id": ["id"], "target_name": None, "organization": None, "parents": {},
    "categories": [], "ignore": [], "redact": [], "capture": "changes",
}


def watch(table, given):
    """The call of watch() with options as given. A step of a spec cannot hold a brace, so nothing is a literal with one."""
    def literal(value, in_json=False):
        match value:
            case dict():
                pairs = [f"{literal(k)}, {literal(v, True)}" for k, v in value.items()]
                return f"jsonb_build_object({', '.join(pairs)})"
            case list() if in_json or any(isinstance(v, dict) for v in value):
                return f"jsonb_build_array({', '.join(literal(v, True) for v in value)})"
            case list():
                return f"ARRAY[{', '.join(map(literal, value))}]::name[]"
            case _:
                return f"'{value}'"

    options = "".join(f", {name} => {literal(value)}" for name, value in given.items())
    return f"SELECT audit_log.watch('{table}'{options});"


def options(given):
    """A watch's options, with what was not given."""
    return {**DEFAULTS, **given}


def jsonb(value):
    """JSON as jsonb prints it."""
    if value is None:
        return None
    return json.dumps({key: value[key] for key in sorted(value, key=lambda k: (len(k), k))})


def entry(watched, operation, old, new):
    """The entry of a change as a dict of SHOWN; None where nothing recorded has changed."""
    row = new or old or {}
    changed = [c for c in row if operation != "update" or old[c] != new[c]]
    if operation == "update" and not set(changed) - set(watched["ignore"]):
        return None

    def image(state):
        if state is None or watched["capture"] == "keys":
            return None
        full = [c for c in state if watched["capture"] == "full" and c not in watched["redact"]]
        wanted = [c for c in state if (c in changed or c in full) and c not in watched["ignore"]]
        return jsonb({c: "[redacted]" if c in watched["redact"] else state[c] for c in wanted})

    def key(state):
        return ",".join(str(state[c]) for c in watched["target_id"])

    def matches(rule):
        column = rule.get("column")
        if rule["on"] != operation or (column and column not in changed):
            return False
        return all(value not in rule or str(state[column]) == rule[value] for value, state in [("from", old), ("to", new)])

    kind = watched["target_type"]
    also = [f"related {kind} {key(old)}"] if operation == "update" and key(old) != key(new) else []
    also += [f"parent {parent} {row[column]}" for parent, column in watched["parents"].items() if row]
    rule = next((r["category"] for r in watched["categories"] if matches(r)), None)
    organization = watched["organization"]
    return {
        "category": rule or f"{kind}_{SUFFIXES[operation]}",
        "id": key(row) if row else None,
        "name": row[watched["target_name"]] if row and watched["target_name"] else None,
        "org": row[organization] if row and organization else "default",
        "also": ", ".join(also) or None,
        "before": image(old),
        "after": image(new),
    }


def changed(session, table, operation, old, new):
    """Records a change in a session as the configuration has it now."""
    root = session.config(("parent", table)) or table
    watched = session.config(("watch", root))
    if watched is None:
        return
    names = session.config(("renamed", root)) or {}
    old, new = [row and {names.get(c, c): row[c] for c in row} for row in (old, new)]
    watched = {**watched, "redact": [names.get(c, c) for c in watched["redact"]]}
    made = entry(watched, operation, old, new)
    if made is not None and session.config(("enabled", made["org"])) is not False:
        session.append(made)


def shown(session):
    """The result of a query for all SHOWN of all entries."""
    return Table(SHOWN, [[e[c] for c in SHOWN] for e in session.entries()])
