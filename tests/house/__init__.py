"""Tests of the house itself: its rules, and that each rule is seen to fail when it is broken."""
