"""What people and CI read of a result: terminal, Markdown, JUnit, GitHub Actions, and one HTML page."""
