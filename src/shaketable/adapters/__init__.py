"""The only code that touches the outside: engine, compose, package managers, files that outlive a command."""
