"""The devices of a lab: who they are, how they are trusted, reached and fed. Knows nothing of torch or SQL."""

import os

# gRPC reads this when it is first imported; its notices about every closed connection would tear the dashboard.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
