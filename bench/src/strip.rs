//! What `strip`, of binutils, leaves of an image.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::engines::Contender;
use crate::sizes::Size;
use crate::tools;

/// The size of the image without symbols, which aotc's loader still loads; or why there is none, in a few words.
pub(crate) fn size(
    folder: &Path,
    name: &str,
    image: &[u8],
    aotc: &dyn Contender,
) -> Result<Result<Size, &'static str>> {
    let file = folder.join(format!("{name}.stripped"));
    std::fs::write(&file, image)
        .with_context(|| format!("failed to write `{}`", file.display()))?;
    let Some(output) = tools::run(Command::new("strip").arg(&file))? else {
        return Ok(Err("no strip"));
    };
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "strip fails for `{}`: {messages}", file.display());
    aotc.load(&file)(1).with_context(|| format!("`{}`", file.display()))?;
    Ok(Ok(Size::of_image(&std::fs::read(&file)?)?))
}
