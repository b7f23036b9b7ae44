"""The rules behind a verdict, one file per kind of evidence. Each takes a cell's completed trials and gives its reasons."""
