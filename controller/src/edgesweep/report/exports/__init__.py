"""What exports came to: the document of an export matrix with its renderers, and the story of a single variant."""
