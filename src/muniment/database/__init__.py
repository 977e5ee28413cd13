"""SQL databases by URL: SQLite, MySQL/MariaDB and PostgreSQL, one way to run transactions and migrations on each."""
