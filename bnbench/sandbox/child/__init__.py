"""The only code that runs beside untrusted code: the standard library and NumPy, nothing of bnbench."""
