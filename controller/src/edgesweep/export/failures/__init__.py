"""Why a variant did not come out: failures by cause, what exceptions mean, and what is the host's own trouble."""
