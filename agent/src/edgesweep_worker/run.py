"""Start the worker with `python -I run.py`: puts the folder this file lies in, and nothing else, on the path.

The agent copies this file beside the package folder `edgesweep_worker`, so a runtime's own interpreter finds
the worker without the agent being installed there.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from edgesweep_worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
