"""The lab: many hosts on one machine. scripts/lab is its command, README.md beside this file its map."""
