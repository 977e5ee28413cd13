"""What must run, engine-neutral: `derive(spec, identities, addresses)` is a pure function."""
