//! The router from outside: its real binary, in front of services that are simple stand-ins where a test needs to
//! see or bend what they do, and in front of the real system where the whole is what matters.

mod fakes;
mod gateway;

mod cross_site;
mod errors;
mod identity;
mod limits;
mod media;
mod site;
mod system;
