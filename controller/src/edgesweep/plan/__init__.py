"""Plans: the YAML file that describes a matrix, and its expansion into cells. Imports neither torch nor gRPC."""
