#!/usr/bin/env python3
"""Compare the results of an Autobahn run with the pinned ones. Any change fails, also for the better.

usage: compare.py EXPECTED.json SUMMARY.json [--bless]

EXPECTED.json pins {case: [behavior, behaviorClose]}; SUMMARY.json is what abts_summary.py wrote.
--bless rewrites EXPECTED.json from the run. Exit status: 0 the same, 1 different, 2 could not compare.
"""
import json, os, sys

key = lambda case: [int(part) for part in case.split(".")]


def outcomes(summary):
    """The pinned part of a summary: close codes and durations may vary.

    >>> outcomes({"cases": {"1.1.1": ["OK", "OK", 1000, 12], "1.1.2": None}})
    {'1.1.1': ['OK', 'OK'], '1.1.2': ['MISSING', 'MISSING']}
    """
    return {case: list(result[:2]) if result else ["MISSING", "MISSING"]
            for case, result in summary["cases"].items()}


def changes(expected, actual):
    """One line for each case that is not as pinned.

    >>> changes({"1.1.1": ["OK", "OK"]}, {"1.1.1": ["OK", "OK"]})
    []
    >>> changes({"6.4.1": ["NON-STRICT", "OK"]}, {"6.4.1": ["OK", "OK"]})
    ['6.4.1: pinned NON-STRICT / OK, now OK / OK']
    >>> changes({"1.1.1": ["OK", "OK"]}, {"1.1.1": ["OK", "UNCLEAN"]})
    ['1.1.1: pinned OK / OK, now OK / UNCLEAN']
    >>> changes({"2.1": ["OK", "OK"]}, {"10.1": ["OK", "OK"]})
    ['2.1: pinned OK / OK, now not run', '10.1: pinned nowhere, now OK / OK']
    """
    lines = []
    for case in sorted(expected.keys() | actual.keys(), key=key):
        was, now = expected.get(case), actual.get(case)
        if was != now:
            was = " / ".join(was) if was else "nowhere"
            now = " / ".join(now) if now else "not run"
            lines.append(f"{case}: pinned {was}, now {now}")
    return lines


def write(path, cases):
    """One line per case, so that a change is one line of a diff."""
    rows = ",\n".join(f"  {json.dumps(case)}: {json.dumps(cases[case])}" for case in sorted(cases, key=key))
    with open(path, "w", encoding="utf-8") as file:
        file.write("{\n" + rows + "\n}\n")


def main(expected_path, summary_path, bless):
    with open(summary_path, encoding="utf-8") as file:
        actual = outcomes(json.load(file))
    if bless:
        if not actual or ["MISSING", "MISSING"] in actual.values():
            print("conformance: a run with missing results is no reference")
            return 2
        write(expected_path, actual)
        print(f"conformance: pinned {len(actual)} cases in {expected_path}")
        return 0
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    differing = changes(expected, actual)
    for line in differing:
        print(f"CHANGED {line}")
    print(f"conformance: {len(actual)} cases, {len(differing)} not as pinned in {os.path.basename(expected_path)}")
    return 1 if differing or not actual else 0


if __name__ == "__main__":
    paths = [arg for arg in sys.argv[1:] if arg != "--bless"]
    if len(paths) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(main(*paths, "--bless" in sys.argv))
    except OSError as error:
        print(f"conformance: {error}")
        sys.exit(2)
