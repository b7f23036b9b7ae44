"""What the generated models of the numbers on stdin are made of, as JSON on stdout."""

from __future__ import annotations

import json
import sys

from models import recipe_of

json.dump({seed: recipe_of(seed) for seed in json.load(sys.stdin)}, sys.stdout)
