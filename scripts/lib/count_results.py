"""Adds up what scripts/test.sh ran: one plain line, exit status 1 unless everything passed.

A part with a JUnit report counts as its tests; one without counts as one. A report without tests is a failure, and so
is a part that failed although its tests passed (a crash at the end, say).
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def count(part: Path) -> tuple[int, int]:
    part_failed = part.read_text().strip() != "passed"
    report = part.with_suffix(".xml")
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - failed - skipped
    if report.exists() and passed == 0 and failed == 0:
        part_failed = True
    if part_failed and failed == 0:
        failed = 1
    if not report.exists() and not part_failed:
        passed = 1
    if failed:
        print(f"failed: {part.stem}")
    if skipped:
        print(f"skipped in {part.stem}: {skipped}")
    return passed, failed


def main() -> int:
    counts = [count(part) for part in sorted(Path(sys.argv[1]).glob("*.status"))]
    passed, failed = (sum(column) for column in zip(*counts))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
