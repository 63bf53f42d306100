"""The connection to the broker: addresses, versions, limits, subscriptions, and what a broker refuses."""
