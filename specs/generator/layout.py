"""A spec as a file, and the file of what must come of it."""

from .simulation import World, play


class Spec:
    """A spec: what to set up, its steps, and permutations of them, each with the case it is.

    `world` are the arguments of World; `sessions` has what a session runs before and after each permutation.
    """

    def __init__(self, name, about, setup, teardown, steps, world, sessions=None):
        self.name, self.about, self.setup, self.teardown = name, about, setup, teardown
        self.steps = {step.name: step for step in steps}
        assert len(self.steps) == len(steps), f"{name}: two steps of one name"
        self.world, self.sessions, self.permutations = world, sessions or {}, []

    def permutation(self, case, names):
        self.permutations.append((case, names.split()))

    def text(self):
        used = {name for _, names in self.permutations for name in names}
        lines = ["# Written by specs/generate.py; change that.", *("# " + line for line in self.about.splitlines()), ""]
        lines += ["setup", "{", *indented(self.setup), "}", "teardown", "{", *indented(self.teardown), "}"]
        sessions = dict.fromkeys(s.session for s in self.steps.values() if s.name in used)
        for session in sessions:
            lines += ["", f"session {session}"]
            first, last = self.sessions.get(session, (None, None))
            lines += [f"setup {{ {first} }}"] if first else []
            lines += [f"step {s.name} {{ {s.sql} }}" for s in self.steps.values() if s.session == session and s.name in used]
            lines += [f"teardown {{ {last} }}"] if last else []
        case_before = None
        for case, names in self.permutations:
            if case != case_before:
                lines += ["", f"# {case}"]
            lines.append("permutation " + " ".join(names))
            case_before = case
        return "\n".join(lines) + "\n"

    def expected(self):
        used = {s.session for _, names in self.permutations for s in map(self.steps.get, names)}
        lines = [f"Parsed test spec with {len(used)} sessions"]
        for _, names in self.permutations:
            world = World(*self.world)
            lines += ["", "starting permutation: " + " ".join(names)]
            lines += play(world, [self.steps[name] for name in names])
        return "\n".join(lines) + "\n"


def indented(sql):
    return ["  " + line for line in sql.strip().splitlines()]
