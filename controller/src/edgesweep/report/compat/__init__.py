"""What runs where: the matrix of a run as a product, with the story of a cell, the difference of two runs, and advice."""
