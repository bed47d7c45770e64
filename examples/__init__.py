"""Things to try djproxy with; the tests use them too."""
