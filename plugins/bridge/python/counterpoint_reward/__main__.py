"""`python3 -m counterpoint_reward FILE.py [ARGUMENTS]`: serves a file to the program that started this one."""

import sys

from .serve import serve


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print("expected `python3 -m counterpoint_reward FILE.py [ARGUMENTS]`, started by a run", file=sys.stderr)
        return 2
    return serve(sys.argv[1], sys.argv[2:])


sys.exit(main())
