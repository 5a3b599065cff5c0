"""Does it matter in training? Networks with and without normalization, with any implementation inside."""
