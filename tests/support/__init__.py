"""What several test files share: networks, small files, servers, clusters, and ways to run commands."""
