//! Real brokers, real clients and load for tests, demo and benches.
