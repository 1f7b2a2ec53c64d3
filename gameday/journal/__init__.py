"""The record of every run, written as things happen, so that a killed run leaves a readable one."""
