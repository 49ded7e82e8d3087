"""Damage: a pure function of a clip, a seed and the settings of a TOML file."""
