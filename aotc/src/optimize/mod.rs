//! Passes of our own over CLIF, round Cranelift's.
//!
//! ```text
//! CLIF --Cranelift: e-graph--> CLIF --ours: schedule--> CLIF --Cranelift: lowering--> machine code
//! ```
//!
//! Cranelift's e-graph pass places an instruction anew, by its own rules, so what is placed before
//! it is lost. [`optimize`] runs it by itself; the code generator then lowers with an otherwise equal
//! target whose `opt_level` is `none`, and so does not run it again.

mod schedule;

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{CodegenResult, Context};

/// The sources of the passes: code that is kept between compilations is that of the same passes.
#[cfg(feature = "incremental")]
pub(crate) const SOURCES: &[&str] = &[include_str!("mod.rs"), include_str!("schedule.rs")];

/// Optimises the function in `context`.
pub(crate) fn optimize(
    context: &mut Context,
    isa: &dyn TargetIsa,
    control_plane: &mut ControlPlane,
) -> CodegenResult<()> {
    context.optimize(isa, control_plane)?;
    schedule::run(&mut context.func);
    Ok(())
}

#[cfg(all(test, feature = "incremental"))]
mod tests {
    use super::*;

    #[test]
    fn sources_are_all_of_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/optimize");
        let mut paths = vec![std::path::PathBuf::from(folder)];
        let mut files = 0;
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            assert!(SOURCES.contains(&&*source), "{} is not in SOURCES", path.display());
            files += 1;
        }
        assert_eq!(files, SOURCES.len());
    }
}
