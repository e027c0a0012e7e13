//! Tests of `./dev`, the documentation, the stack files and the observability files.

mod docs;
mod help;
mod images;
mod observe;
mod packages;
mod prometheus;
mod services;
mod stack;
mod system;
mod tidy;
mod traces;
mod upgrade;
