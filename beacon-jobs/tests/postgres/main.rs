//! What only the Postgres store has.
