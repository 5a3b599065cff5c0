"""Why an implementation is wrong: by identity, by mutant, and by line."""
