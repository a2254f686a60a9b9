"""Who may read: bindings given and taken back, organizations switched off, while a session reads.

Who may read goes by what is committed now; which entries there are, by the query's snapshot.
"""

from . import capture
from .documents import Table, look_elsewhere
from .layout import Spec
from .printed import Table as Result
from .printed import void
from .simulation import LEVELS, ROW_EXCLUSIVE, Step, transaction_steps

BOTH = ["alpha", "beta"]
GRANT, REVOKE = "SELECT audit_log.grant_read('spec_reader', '{}');", "SELECT audit_log.revoke_read('spec_reader', '{}');"
DISABLE, ENABLE = "SELECT audit_log.disable_organization('{}');", "SELECT audit_log.enable_organization('{}');"
INSERT = "INSERT INTO doc (id, team) VALUES ({}, 'alpha'), ({}, 'beta');"
# Bound to and enabled before, the change's SQL, and either afterwards.
CHANGES = {
    "read_granted": (["alpha"], BOTH, GRANT.format("beta"), BOTH, BOTH),
    "read_granted_first": ([], BOTH, GRANT.format("alpha"), ["alpha"], BOTH),
    "read_revoked": (BOTH, BOTH, REVOKE.format("beta"), ["alpha"], BOTH),
    "read_revoked_last": (["alpha"], BOTH, REVOKE.format("alpha"), [], BOTH),
    "read_disabled": (BOTH, BOTH, DISABLE.format("beta"), BOTH, ["alpha"]),
    "read_enabled": (BOTH, ["alpha"], ENABLE.format("beta"), BOTH, BOTH),
}
CASES = {
    "Changed before the first statement.": "b_L change look read b_commit read",
    "Changed after the first statement, and all ways to read.": "b_L look change read_all b_commit read_all",
    "Changed after the session read in this transaction.": "b_L read change read b_commit read",
    "Changed after the session read before this transaction.": "read b_L look change read b_commit read",
    "Changed by a transaction that is open meanwhile.": "b_L look c_L change read c_commit read b_commit read",
    "Changed by a transaction that is rolled back.": "b_L look c_L change read c_rollback read b_commit read",
    "Changed after a savepoint was rolled back.": "b_L look b_savepoint read b_rollback_to change read b_commit read",
    "Entries are written meanwhile: of these a snapshot decides.": "b_L look more change read b_commit read",
}


def specs():
    for name, change in CHANGES.items():
        yield spec(name, *change)


def read(s, all_ways=False):
    """What spec_read() finds: ways of reading, and the ids of the rows whose entries it shows."""
    bound, enabled = s.config("bound"), s.config("enabled")
    entries = [(e["id"], e["org"]) for e in s.entries()]

    def ids(among):
        return ",".join(sorted({i for i, o in entries if o in among})) or "nothing"

    def listed(organization=None):
        if not bound or (organization and organization not in bound):
            return "42501"
        asked = [o for o in bound if o in enabled and organization in (None, o)]
        return ids(asked) if asked else "55000"

    def seen(only=None):
        return ids([o for o in bound if only in (None, o)]) if bound else "42501"

    beta = [i for i, o in entries if o == "beta" and i == "2"]
    history = "42501" if not bound else ",".join(beta if "beta" in bound else []) or "nothing"
    pairs = [("list", listed()), ("list beta", listed("beta")), ("sync", listed()), ("entry", seen()), ("history of 2", history)]
    if all_ways:
        pairs += [
            ("list_json beta", STATUS.get(listed("beta"), listed("beta"))), ("page", listed()), ("export", listed()),
            ("sync beta", listed("beta")), ("entry_target", seen()), ("bi_audit_log", seen()),
        ]
    return Result(["way", "ids"], [list(pair) for pair in pairs])


# list_json tells of a refusal, and does not fail.
STATUS = {"42501": "403", "55000": "403"}


def spec(name, bound, enabled, change, bound_after, enabled_after):
    table = Table("table")
    watch = {"organization": "team"}
    setup = [*table.setup().splitlines()[:-1], "GRANT SELECT ON other TO PUBLIC;", capture.watch("doc", watch), "CALL spec_begins();"]
    setup += [ENABLE.format(o) for o in BOTH]
    setup += [(GRANT if o in bound else REVOKE).format(o) for o in BOTH]
    setup.append(INSERT.format(1, 2))
    setup += [DISABLE.format(o) for o in BOTH if o not in enabled]
    # The last result of a setup is printed: not one of these.
    setup.append("CREATE TABLE unused ();")

    def does(s):
        s.configure("bound", bound_after)
        s.configure("enabled", enabled_after)
        return void(change.split("audit_log.")[1].split("(")[0])

    def more(s):
        for key, organization in [(3, "alpha"), (4, "beta")]:
            if organization in s.config("enabled"):
                s.append({"id": str(key), "org": organization})

    steps = [
        *transaction_steps("b"), look_elsewhere("b", "look"), Step("b", "read", "SELECT * FROM spec_read();", read),
        Step("b", "read_all", "SELECT * FROM spec_read(true);", lambda s: read(s, True)),
        *transaction_steps("c", savepoints=False), Step("c", "change", change, does),
        Step("c", "more", INSERT.format(3, 4), more, [("doc", ROW_EXCLUSIVE)]),
    ]
    about = f"A bound role reads while it is changed what it may read ({name})."
    sessions = {"b": ("SET ROLE spec_reader;", "RESET ROLE;")}
    first = [{"id": "1", "org": "alpha"}, {"id": "2", "org": "beta"}]
    made = Spec(name, about, "\n".join(setup), "DROP TABLE doc, other, unused;", steps,
                ({"bound": bound, "enabled": enabled}, {}, first), sessions)
    for case, names in CASES.items():
        for level in LEVELS:
            made.permutation(case, names.replace("_L", f"_{level}"))
    return made
