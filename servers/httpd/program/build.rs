//! Links the program for ring 3.

fn main() {
    rt_link::program();
}
