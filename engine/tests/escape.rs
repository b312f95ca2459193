//! The filter of escapes against an oracle that is written from the same table in another style, memory that
//! changes under its hands, and the order in which packets get to the driver.

#[path = "escape/dispatch.rs"]
mod dispatch;
#[path = "escape/guest.rs"]
mod guest;
#[path = "escape/oracle.rs"]
mod oracle;
#[path = "escape/random.rs"]
mod random;
#[path = "escape/table.rs"]
mod table;
