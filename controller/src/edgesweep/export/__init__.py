"""Exporting: variants in, artifacts that were checked and proven out, or the stage and cause of the failure."""
