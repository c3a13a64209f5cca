"""Sums the lines of a coverage report by module: coverage.py REPORT.lcov BAR_PERCENT

Modules that only tests compile are no part of the engine and are not counted. Ends with status 1 when
a module is below the bar, and names every line that nothing ran.
"""

import re
import sys
from pathlib import Path

MODULES = ("ws", "conn", "pubsub", "shard")
# Files that only tests compile.
TEST_FILE = re.compile(r"(^|[/_])(tests|audit)(\.rs|/)")


def lines_by_file(report):
    """File -> line -> how often it ran."""
    files, lines = {}, {}
    for record in Path(report).read_text().splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            lines = files.setdefault(rest, {})
        elif kind == "DA":
            line, count = map(int, rest.split(",")[:2])
            lines[line] = max(count, lines.get(line, 0))
    return files


def test_lines(path):
    """Lines of what a `#[cfg(test)]` covers: it ends with the bracket that closes it."""
    found, depth, is_inside = set(), 0, False
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        if not is_inside and re.match(r"\s*#\[cfg\((all\()?test", line):
            is_inside, depth = True, 0
        if is_inside:
            found.add(number)
            depth += line.count("{") - line.count("}")
            is_inside = depth > 0 or not line.rstrip().endswith(("}", ";"))
    assert not is_inside, f"{path}: a module of tests has no end"
    return found


def main(report, bar):
    files = lines_by_file(report)
    is_below = False
    for module in MODULES:
        total, ran, missed = 0, 0, []
        for file, counts in sorted(files.items()):
            inside = re.search(rf"/src/{module}(/.+|\.rs)$", file)
            if not inside or TEST_FILE.search(inside[1]):
                continue
            tests = test_lines(file)
            counts = {line: count for line, count in counts.items() if line not in tests}
            total += len(counts)
            ran += sum(count > 0 for count in counts.values())
            never = [str(line) for line, count in sorted(counts.items()) if count == 0]
            if never:
                missed.append(f"    {inside[1].lstrip('/')}: {' '.join(never)}")
        percent = 100 * ran / max(total, 1)
        is_below |= percent < bar
        print(f"src/{module:7} {ran:5} of {total:5} lines: {percent:.1f} %")
        print("\n".join(missed))
    return int(is_below)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
