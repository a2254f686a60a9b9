"""What is decided without a lock on any table: organizations, vocabulary, JSON Schemas, actor types.

Nobody waits here. What one session does goes by what another one has committed until then.
"""

from . import capture
from .documents import Table, look_elsewhere, row, show
from .layout import Spec
from .printed import Table as Result
from .printed import void
from .simulation import LEVELS, Step, transaction_steps

CASES = {
    "Changed before the first statement.": "w_L change look CHECK w_commit CHECK",
    "Changed after the first statement.": "w_L look change CHECK CHECK w_commit CHECK",
    "Changed after the first statement, and the session did it before.": "ALONE w_L look change CHECK w_commit CHECK",
    "Changed between.": "w_L look CHECK change CHECK w_commit CHECK",
    "Changed by a transaction that is open meanwhile.": "w_L look c_L change CHECK c_commit CHECK w_commit CHECK",
    "Changed by a transaction that is rolled back.": "w_L look c_L change CHECK c_rollback CHECK w_commit CHECK",
    "Changed after a savepoint was rolled back.": "w_L look w_savepoint CHECK w_rollback_to change CHECK w_commit CHECK",
    "Changed before a savepoint is rolled back.": "w_L look w_savepoint CHECK change CHECK w_rollback_to CHECK w_commit CHECK",
    "All is rolled back after the change.": "w_L look change CHECK w_rollback CHECK",
}
# Nothing but writes to a table that is locked already: nothing else has the session look around.
WRITES_ALONE = {
    "Changed between two writes.": "w_L look w1 change w2 w_commit w3 show",
    "Changed between two writes, by a transaction that is open meanwhile.": "w_L look w1 c_L change w2 c_commit w3 w_commit w4 show",
}


class Subject:
    """A thing to be changed: its key and values in the model, the SQL of both, and what checks it.

    `checks` are steps that ask in a transaction; where `alone` is given, that asks outside of one.
    """

    def __init__(self, name, about, key, before, after, setup, change, checks, alone=None, writes=False):
        self.name, self.about, self.key, self.before, self.after = name, about, key, before, after
        self.setup, self.change, self.checks, self.alone, self.writes = setup, change, checks, alone, writes


def asked(name, column, statement, answer):
    """A step that tries a statement; `answer(session)` is its value or SQLSTATE."""
    sql = f"SELECT spec_try($${statement}$$) AS {column};"
    return Step("w", name, sql, lambda s: Result([column], [[answer(s)]]))


def recorded(allowed):
    def answer(s):
        if not allowed(s):
            return "22023"
        s.append({"recorded": True})
        return "true"

    return answer


def subjects():
    yield organization("organization_disabled", True)
    yield organization("organization_enabled", False)

    known = ("known",)
    category = "SELECT audit_log.record(spec_name('cat'), 'x') IS NOT NULL"
    count = "SELECT count(*) FROM audit_log.list(start_date => (SELECT began FROM spec_run), {} => ARRAY[{}])"
    listed = "SELECT concat_ws(' and ', ({}), ({}))".format(
        count.format("categories", "spec_name('cat')"), count.format("target_types", "spec_name('type')"))

    def entries(s):
        number = len(s.entries())
        return f"{number} and {number}" if s.config(known) else "22023"

    define_type = "SELECT audit_log.define_target_type(spec_name('type'), 'A type');"
    yield Subject(
        "category_defined", "A category is defined while a session records and lists.", known, False, True, define_type,
        define("spec_name('cat'), spec_name('type'), 'A category'"),
        [asked("record", "recorded", category, recorded(lambda s: s.config(known))), asked("list", "listed", listed, entries)])
    yield Subject(
        "category_deprecated", "A category is deprecated, which refuses nothing and keeps nobody waiting.", known, False, True,
        define_type + "\n" + define("spec_name('cat'), spec_name('type'), 'A category'"),
        "SELECT audit_log.deprecate_category(spec_name('cat'));",
        [asked("record", "recorded", category, recorded(lambda s: True))])
    target = "SELECT audit_log.record('doc_filed', 'x', targets => jsonb_build_array(jsonb_build_object('type', spec_name('type'), 'id', 'y'))) IS NOT NULL"
    yield Subject(
        "target_type_defined", "A target type is defined while a session records what names one.", known, False, True, "", define_type,
        [asked("record", "recorded", target, recorded(lambda s: s.config(known)))])

    yield from schemas()

    context = "jsonb_build_object('actor', jsonb_build_object('type', spec_name('robot'), 'id', '1'))"

    def allowed(value):
        return lambda s: value if s.config(known) else "22023"

    set_context = asked("set_context", "set", f"SELECT audit_log.set_context({context})", allowed("done"))
    set_local = asked("set_local", "set", f"SELECT set_config('audit_log.context', {context}::text, true) IS NOT NULL", allowed("true"))
    alone = Step("w", "set_alone", f"BEGIN; {set_context.sql} COMMIT;", set_context.does)
    yield Subject(
        "actor_type_defined", "An actor type is defined while a session sets contexts that name it.", known, False, True, "",
        "SELECT audit_log.define_actor_type(spec_name('robot'));", [set_context, set_local], alone)


def define(arguments):
    return f"SELECT audit_log.define_category({arguments});"


def organization(name, before):
    key = ("enabled", "acme")
    calls = {True: "SELECT audit_log.enable_organization('acme');", False: "SELECT audit_log.disable_organization('acme');"}
    statement = "SELECT audit_log.record('doc_filed', 'x', organization => 'acme') IS NOT NULL"
    return Subject(
        name, "An organization is switched on or off while a session writes its rows and records.", key, before, not before,
        calls[before], calls[not before],
        [asked("record", "recorded", statement, lambda s: "true" if s.config(key) else "55000")], writes=True)


def schemas():
    key = ("required",)
    statement = "SELECT audit_log.record(spec_name('cat'), 'x', metadata => jsonb_build_object('channel', 'post')) IS NOT NULL"
    check = asked("record", "recorded", statement, recorded(lambda s: s.config(key) in (None, "channel")))

    def category(required):
        schema = required and f", metadata_schema => jsonb_build_object('required', jsonb_build_array('{required}'))"
        return define(f"spec_name('cat'), 'doc', 'A category'{schema or ''}")

    for name, before, after in [
        ("schema_added", None, "reason"), ("schema_dropped", "reason", None), ("schema_replaced", "channel", "reason"),
    ]:
        about = "A category's JSON Schema changes while a session records metadata."
        yield Subject(name, about, key, before, after, category(before), category(after), [check])


def specs():
    return map(spec, subjects())


def spec(subject):
    table = Table("table")
    setup = f"CALL spec_begins();\n{subject.setup}\nCREATE TABLE other (n int);".replace("\n\n", "\n")
    teardown = "DROP TABLE other;"
    config = {subject.key: subject.before}
    writes = []
    if subject.writes:
        config[("watch", "doc")] = capture.options({"organization": "team"})
        watch = capture.watch("doc", {"organization": "team"})
        setup = "\n".join([table.setup(), watch, subject.setup, "CALL spec_begins();"])
        teardown = "DROP TABLE doc, other;"
        writes = [table.insert("w", f"w{n}", row(n)) for n in (1, 2, 3, 4)]

    def does(s):
        s.configure(subject.key, subject.after)
        return void(subject.change.split("audit_log.")[1].split("(")[0])

    alone = [subject.alone] if subject.alone else []
    steps = [
        *transaction_steps("w"), look_elsewhere("w", "look"), *writes, *subject.checks, *alone,
        *transaction_steps("c", savepoints=False), Step("c", "change", subject.change, does), show(),
    ]
    made = Spec(subject.name, subject.about, setup, teardown, steps, (config, table.rows()))
    for case, names in CASES.items():
        for level in LEVELS:
            made.permutation(case, expand(subject, names.replace("_L", f"_{level}")))
    for case, names in WRITES_ALONE.items() if subject.writes else []:
        for level in LEVELS:
            made.permutation(case, names.replace("_L", f"_{level}"))
    return made


def expand(subject, names):
    """CHECK and ALONE as the subject's steps; the last CHECK is outside of a transaction."""
    checks = " ".join(c.name for c in subject.checks)
    alone = subject.alone.name if subject.alone else checks
    words = names.split()
    words[-1] = "ALONE"
    writes = iter(range(1, 5))
    done = []
    for word in words:
        if word in ("CHECK", "ALONE"):
            done += [f"w{next(writes)}"] if subject.writes else []
            word = checks if word == "CHECK" else alone
        done.append(word)
    return " ".join(done + (["show"] if subject.writes else []))
