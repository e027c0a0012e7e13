//! `./dev` starts everything, says clearly why it cannot, and leaves nothing behind.

mod docs;
mod help;
mod images;
mod observe;
mod packages;
mod prometheus;
mod stack;
mod system;
mod tidy;
mod traces;
mod upgrade;
