"""The sweep: which trial runs next on which device, and which outcome each cell ends with."""
