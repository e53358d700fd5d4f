"""`python3 -m counterpoint_reward FILE.py [ARGUMENTS]`: serves the rewards of a file to the program that started this one;
`python3 -m counterpoint_reward MODULE:NAME[,NAME] [ARGUMENTS]` those of a package, such as `trl.rewards:think_format_reward`.
"""

import sys

from .serve import serve


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print("expected `counterpoint-reward FILE.py` or `MODULE:NAME`, started by a run", file=sys.stderr)
        return 2
    return serve(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
