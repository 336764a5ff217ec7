//! Every limit of the gateway, each with its reason. Sizes in bytes, times in their unit's suffix.
