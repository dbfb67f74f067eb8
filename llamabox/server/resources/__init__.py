"""One file per endpoint: parse, submit, format."""
