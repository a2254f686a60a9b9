#!/usr/bin/env python3
"""compare.py EXPLAINED CONTROL WATCH [--propose]: the output of a suite's tests with and without the audit log.

Every difference must stand in EXPLAINED/TEST.diff, line by line, under a comment that says why; and every difference
that stands there must be found, or the list would grow old. --propose prints what is not there, in the form in which
it would be. Two other kinds of line, with a reason as well: "~ PATTERN" takes out what no two runs have in common, such
as an oid; "x PATTERN" takes out rows of a query's result, and how many rows it says there are.

What the two runs can never have in common is taken out of both first: see normal().
"""

import difflib
import pathlib
import re
import sys

# The triggers of either run, where \d, EXPLAIN or a query of pg_trigger shows them. Never in a message.
OWN_TRIGGER = re.compile(r'^ .*!audit_log')
TRIGGERS = re.compile(r'^(Triggers|Triggers firing always|Triggers firing on replica only|Disabled user triggers):$')
COUNT = re.compile(r'^\(\d+ rows?\)$')
NAME = re.compile(r'!audit_log_\d+')


class Pattern:
    """A pattern of a list of explained differences."""

    def __init__(self, line):
        self.line, self.is_row, self.pattern, self.used = line, line.startswith('x'), re.compile(line[2:]), False

    def takes_row(self, line):
        found = self.is_row and line.startswith(' ') and self.pattern.search(line) is not None
        self.used |= found
        return found

    def taken_out(self, line):
        if self.is_row:
            return line
        line, times = self.pattern.subn('…', line)
        self.used |= times > 0
        return line


def normal(path, patterns):
    """A test's output without the triggers that it shows, how many rows these were and how wide its columns are for it."""
    lines, taken = [], 0
    for line in path.read_text(errors='surrogateescape').split('\n'):
        line = NAME.sub('!audit_log', line)
        if OWN_TRIGGER.match(line) or any([pattern.takes_row(line) for pattern in patterns]):
            taken += 1
            continue
        if taken and COUNT.match(line):
            left = int(line[1:].split()[0]) - taken
            line = f'({left} row{"" if left == 1 else "s"})'
        if not line.startswith(' '):
            taken = 0
        for pattern in patterns:
            line = pattern.taken_out(line)
        lines.append(re.sub(r'-{2,}', '--', re.sub(r'(?<=\S) {2,}', ' ', line)).strip())
    # A heading with nothing under it: the table had no other triggers.
    return [line for line, after in zip(lines, lines[1:] + [''])
            if not (TRIGGERS.match(line) and not after.startswith('"'))]


def hunks(control, watch):
    """The differences: the last line before that both have and that is not empty, and the lines with - and +."""
    matcher = difflib.SequenceMatcher(None, control, watch, autojunk=False)
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        if kind != 'equal':
            before = next((line for line in reversed(control[:a]) if line), '')
            yield (f'@@ {before}'.rstrip(), *(f'-{line}' for line in control[a:a_end]), *(f'+{line}' for line in watch[b:b_end]))


def explained(path):
    """The hunks of a list of explained differences and its patterns, each of which has a reason."""
    found, patterns, reason, hunk = [], [], [], None
    for line in path.read_text(errors='surrogateescape').splitlines() if path.exists() else []:
        if line.startswith('#'):
            if hunk is not None:
                reason, hunk = [], None
            reason.append(line[1:].strip())
        elif line.startswith(('@@', '~ ', 'x ')):
            if not any(len(words) > 10 for words in reason):
                sys.exit(f'{path}: no reason is given for {line!r}')
            hunk = [line.rstrip()]
            if line.startswith('@@'):
                found.append(hunk)
            else:
                patterns.append(Pattern(line))
        elif hunk is not None and line[:1] in ('-', '+'):
            hunk.append(line.rstrip())
        elif line.strip():
            sys.exit(f'{path}: neither #, @@, ~, x, - nor +: {line!r}')
    return [tuple(hunk) for hunk in found], patterns


def main(lists, control, watch, propose):
    tests = sorted({path.name for run in (control, watch) for path in (run / 'results').glob('*.out')})
    if not tests:
        sys.exit(f'{control}: no results')
    differing, known, failed = 0, 0, []
    for test in tests:
        sides = [run / 'results' / test for run in (control, watch)]
        missing = [str(side) for side in sides if not side.exists()]
        if missing:
            failed.append(f'{test}: there is no {missing[0]}')
            continue
        listed, patterns = explained(lists / test.replace('.out', '.diff'))
        found = list(hunks(*(normal(side, patterns) for side in sides)))
        differing += bool(found)
        left = list(listed)
        new = []
        for hunk in found:
            if hunk in left:
                left.remove(hunk)
                known += 1
            else:
                new.append(hunk)
        if new:
            failed.append(f'{test}: {len(new)} differences that nobody explained')
            if propose:
                failed[-1] += ''.join('\n# ?\n' + '\n'.join(hunk) for hunk in new)
        failed += [f'{test}: nothing matches {pattern.line!r}' for pattern in patterns if not pattern.used]
        known += len(patterns)
        if left:
            failed.append(f'{test}: {len(left)} explained differences that are not there any more, first {left[0][0]!r}')
    for path in sorted(lists.glob('*.diff')):
        if path.name.replace('.diff', '.out') not in tests:
            failed.append(f'{path.name}: there is no such test')
    for fault in failed:
        print(f'   {fault}')
    print(f'   {len(tests)} tests: {len(tests) - differing} the same, {differing} differ, {known} differences explained')
    return 1 if failed else 0


if __name__ == '__main__':
    arguments = [argument for argument in sys.argv[1:] if argument != '--propose']
    sys.exit(main(*map(pathlib.Path, arguments), propose='--propose' in sys.argv))
