"""Times this project against its peers: suites of cases, and what measures and reports them."""
