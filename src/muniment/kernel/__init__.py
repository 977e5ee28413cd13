"""The ground floor: errors, files, encodings, events, logs, waiting. It knows no domain."""
