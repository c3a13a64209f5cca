//! Tests of the report against oracles of their own: literal keys, literal text, a parser.

mod model;
mod sample;
