//! Prints the system calls, the rights of new objects, and the errors as a page of Markdown, from the tables that the kernel and
//! programs are built with: `cargo run -p abi --example calls`.

use abi::call::{FAST_COUNT, TABLE};
use abi::{Error, ObjectType, Rights};

fn main() {
    println!("# System calls\n");
    println!("Numbers below {FAST_COUNT} can be answered without leaving the gate.\n");
    println!("| number | call | comes back | what it does |");
    println!("|---|---|---|---|");
    for row in TABLE {
        println!(
            "| {} | `{}({})` | {} | {} |",
            row.call as u64, row.name, row.arguments, row.results, row.text
        );
    }
    println!("\n# Rights of the first handle to a new object\n");
    for &object in ObjectType::ALL {
        let rights: Vec<_> = Rights::of_new(object)
            .names()
            .map(str::to_lowercase)
            .collect();
        println!("- {}: {}", object.name(), rights.join(", "));
    }
    println!("\n# Errors\n");
    for &error in Error::ALL {
        println!("- {} `{error:?}`: {error}", error as i64);
    }
}
