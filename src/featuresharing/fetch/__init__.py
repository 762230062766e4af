"""Archives from other machines: downloaded, recognised, compared with checksums, extracted."""
