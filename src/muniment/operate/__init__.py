"""Observe, plan, execute: quorum arithmetic lives here, and the same code serves CLI and operator."""
