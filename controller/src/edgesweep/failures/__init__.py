"""What a user knows of failures beyond the catalogue: rules by message hash or pattern, and cells told anew by them."""
