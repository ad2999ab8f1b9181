"""The docks: Qt only, no arithmetic."""
