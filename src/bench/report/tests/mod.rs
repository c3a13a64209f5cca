//! Tests of the report against oracles of their own: literal keys, literal text, a parser.

mod html;
mod model;
mod plot;
mod sample;
mod text;
