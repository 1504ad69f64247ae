//! KWIK client: one ordered stream per request, many servers behind it.
