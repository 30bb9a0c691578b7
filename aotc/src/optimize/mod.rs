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
