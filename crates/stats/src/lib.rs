//! Paired comparison of small samples: intervals, tests, aggregates, curve fits.
