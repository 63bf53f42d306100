"""Publishes recognitions, events and health to an MQTT broker, and receives texts and commands."""
