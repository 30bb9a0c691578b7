//! Compiles the fixtures that are linked into the tests.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
