//! A signed image is held against its signature before it has the image's name. Whoever asked for the import has found
//! the certificate, with their own token; its key came along.

use super::{ImportImage, read};
use crate::jobs::{Run, StepError};
use crate::signature::{Signature, SignatureError};

impl ImportImage {
    /// The bytes that become the content: what was made raw is not what was signed.
    pub(super) async fn verify(&self, run: &Run) -> Result<(), StepError> {
        let (staged, row) = self.found(run).await?;
        let Some(signature) = Signature::of(&row.properties.0).map_err(refused)? else { return Ok(()) };
        let key = self.import.signed_by.as_deref();
        let key = key.ok_or_else(|| StepError::fatal("The image was signed after its import began."))?;
        let signed = signature.by_key(key).map_err(refused)?;
        let image = self.bytes(&staged.name, run).await?;
        let digests = read::digests_of(&image, staged.size.unsigned_abs(), &[signed.algorithm()], run).await;
        image.close().await?;
        let digest = digests?.pop().map(|(_, hex)| hex).unwrap_or_default();
        signed.check(&digest).map_err(refused)
    }
}

fn refused(error: SignatureError) -> StepError {
    StepError::fatal(format!("{error}."))
}
