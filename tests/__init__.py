"""Tests of FeatureSharing; what several of them share is in tests/support."""
