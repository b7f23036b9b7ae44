"""The devices of a lab: who they are, how they are trusted, reached and fed. Knows nothing of torch or SQL."""
