"""`python -m edgesweep_agent` is the command `edgesweep-agent`."""

import sys

from edgesweep_agent.main import main

if __name__ == "__main__":
    sys.exit(main())
