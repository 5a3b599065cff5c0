"""Grades as other systems read them: pure functions of records, one module for each target."""
