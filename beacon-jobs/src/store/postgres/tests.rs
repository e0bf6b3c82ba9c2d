//! The constants against a migrated database.
