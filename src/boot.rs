//! Start and drain order.
