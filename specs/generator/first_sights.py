"""Organizations first seen in a write: nobody waits for one, and SERIALIZABLE transactions with nothing else in common commit."""

from . import capture
from .documents import look_elsewhere
from .layout import Spec
from .printed import Table as Result
from .printed import void
from .simulation import LEVELS, ROW_EXCLUSIVE, Step, transaction_steps

# Of two sessions that write to two tables. new: an organization of this permutation, newer: another one; known: an old one.
TOGETHER = {
    "Both see the same organization for the first time.": [
        "w_L x_L w_new x_new w_commit x_commit show", "w_L x_L w_new x_new x_commit w_commit show",
        "w_L x_L w_new x_new x_new2 w_new2 w_commit x_commit show"],
    "Both have their snapshot first, and one commits before the other sees it.": [
        "w_L x_L w_look x_look w_new w_commit x_new x_commit show", "w_L x_L w_look x_look w_new w_commit x_new w_new2 x_commit show"],
    "Each sees an organization of its own.": [
        "w_L x_L w_new x_newer w_commit x_commit show", "w_L x_L w_look x_look w_new x_newer x_commit w_commit show",
        "w_L x_L w_new x_newer w_newer x_new2 w_commit x_commit show"],
    "Both write for a known organization, or for none.": [
        "w_L x_L w_known x_known w_commit x_commit show", "w_L x_L w_none x_none x_commit w_commit show"],
    "One sees a new one, the other a known one.": ["w_L x_L w_new x_known w_commit x_commit show", "w_L x_L w_known x_new w_commit x_commit show"],
    "The same where nobody remembers the known one.": [
        "w_L x_L w_look x_look forget w_known x_new w_commit x_commit show", "w_L x_L w_look x_look w_new forget x_known w_known2 w_commit x_commit show",
        "w_L x_L w_look x_look forget x_known w_new w_newer x_known2 x_commit w_commit show"],
    "One has read the other's table, which alone is no reason to fail.": [
        "w_L x_L x_read w_new x_newer w_commit x_commit show", "w_L x_L x_read w_known x_newer w_commit x_commit show",
        "w_L x_L x_read w_new w_commit x_new x_commit show", "w_L x_L x_read w_known x_known w_commit x_commit show"],
    "The first sight is rolled back while another one goes on.": [
        "w_L x_L w_look x_look w_new x_new w_rollback x_new2 x_commit show",
        "w_L x_L w_look x_look w_savepoint w_new x_new w_rollback_to x_commit w_new w_commit show"],
    "One is in a transaction, the other one is not.": ["w_L w_look w_new x_new x_new2 w_commit w_new2 show"],
    "A move from one organization to another, each a new one to somebody.": [
        "w_L x_L w_new x_new w_move x_newer w_commit x_commit show"],
}
# The organization is switched off by somebody who has seen it or not.
SWITCHED_OFF = {
    "Switched off after the first sight was rolled back.": [
        "w_L w_look w_savepoint w_new w_rollback_to off w_new w_commit w_new2 show", "w_L w_look w_new w_rollback off w_new show"],
    "Switched off while the first sight is open.": ["w_L w_look w_new off w_new2 w_commit w_newer show"],
    "Switched off before the first sight.": ["w_L w_look off w_new w_commit w_new2 show", "w_L w_look w_newer off w_new w_commit show"],
    "Switched off and on again.": ["w_L w_look w_new off w_new2 on w_none w_new3 w_commit show"],
}
TABLES = {"w": "doc", "x": "memo"}


def specs():
    yield spec("first_sights", TOGETHER)
    yield spec("first_sights_switched_off", SWITCHED_OFF)


def organization(which):
    return {"new": "spec_name('new')", "newer": "spec_name('newer')", "known": "'acme'", "none": "NULL"}[which.rstrip("23")]


def write(session, number, which):
    table, name = TABLES[session], which.rstrip("23")

    def does(s):
        if s.config(("enabled", name)) is not False:
            s.append([table, str(number), name])

    sql = f"INSERT INTO {table} VALUES ({number}, {organization(which)});"
    return Step(session, f"{session}_{which}", sql, does, [(table, ROW_EXCLUSIVE)])


def move(s):
    s.append(["doc", "1", "newer"])


def switch(name, call, enabled):
    def does(s):
        s.configure(("enabled", "new"), enabled)
        return void(call)

    return Step("c", name, f"SELECT audit_log.{call}(spec_name('new'));", does)


def spec(name, cases):
    setup = [
        "CREATE TABLE other (n int);", "CREATE TABLE doc (id int PRIMARY KEY, team text);", "CREATE TABLE memo (id int PRIMARY KEY, team text);",
        capture.watch("doc", {"organization": "team"}), capture.watch("memo", {"organization": "team"}), "CALL spec_begins();",
    ]
    kinds = ["new", "new2", "new3", "newer", "known", "none", "known2"]
    steps = []
    for session in TABLES:
        steps += [*transaction_steps(session), look_elsewhere(session, f"{session}_look")]
        steps += [write(session, number, which) for number, which in enumerate(kinds, 1)]
    read = Step("x", "x_read", "SELECT count(*) FROM doc WHERE id = 0;", lambda s: Result(["count"], [["0"]]))
    changed = Step("w", "w_move", "UPDATE doc SET team = spec_name('newer') WHERE id = 1;", move, [("doc", ROW_EXCLUSIVE)])
    show = Step("r", "show", "SELECT * FROM spec_sights;", lambda s: Result(["table", "id", "org"], s.entries()))
    # Is what it was; sessions look again all the same.
    forget = Step("c", "forget", "SELECT audit_log.enable_organization('acme');", lambda s: void("enable_organization"))
    steps += [read, changed, switch("off", "disable_organization", False), switch("on", "enable_organization", True), forget, show]
    about = "Sessions write for organizations that nobody has seen before."
    made = Spec(name, about, "\n".join(setup), "DROP TABLE doc, memo, other;", steps, ({}, {}))
    for case, several in cases.items():
        for names in several:
            for level in LEVELS:
                made.permutation(case, names.replace("_L", f"_{level}"))
    return made
