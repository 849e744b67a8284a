//! A signed image is held against its signature before its bytes have the image's name in a store. Whoever asked for
//! the import has found the certificate, with their own token; its key came along. Where the token came along instead,
//! because the signature may be another region's, the certificate is looked for here.

use std::collections::BTreeMap;

use super::{ImportImage, read};
use crate::db::Image;
use crate::jobs::{ImportSource, Run, StepError};
use crate::signature::{Signature, SignatureError, Signed};

impl ImportImage {
    /// The bytes that become the content, or are it: what was made raw is not what was signed.
    pub(super) async fn verify(&self, run: &Run) -> Result<(), StepError> {
        let row = run.database.read().await?.image(&self.id).await?;
        let row = row.ok_or_else(|| StepError::fatal("The image was deleted."))?;
        let Some(signed) = self.signed(&row.properties.0).await? else { return Ok(()) };
        if self.is_copy() && self.remote(run).await?.is_some() {
            // Its bytes are checked while they come.
            return Ok(());
        }
        let digest = self.digest(&row, &signed, run).await?;
        Ok(signed.check(&digest)?)
    }

    /// What the bytes of an image with these properties must be. `None`: it is not signed.
    pub(super) async fn signed(
        &self,
        properties: &BTreeMap<String, String>,
    ) -> Result<Option<Signed>, StepError> {
        if let ImportSource::Region(from) = &self.import.source {
            let (_, token) = self.opened(from)?;
            return Ok(self.context.certificates.signed(properties, Some(&token)).await?);
        }
        let Some(signature) = Signature::of(properties)? else { return Ok(None) };
        let key = self.import.signed_by.as_deref();
        let late = || StepError::fatal("The image was signed after its import began.");
        Ok(Some(signature.by_key(key.ok_or_else(late)?)?))
    }

    async fn digest(&self, row: &Image, signed: &Signed, run: &Run) -> Result<String, StepError> {
        let (image, size) = if self.is_copy() {
            (self.place_to_copy(run).await?, row.size.unwrap_or_default())
        } else {
            let (staged, _) = self.found(run).await?;
            (self.bytes(&staged.name, run).await?, staged.size)
        };
        let digests = read::digests_of(&image, size.unsigned_abs(), &[signed.algorithm()], run).await;
        image.close().await?;
        Ok(digests?.pop().map(|(_, hex)| hex).unwrap_or_default())
    }
}

impl From<SignatureError> for StepError {
    fn from(error: SignatureError) -> Self {
        StepError::fatal(format!("{}.", error.to_string().trim_end_matches('.')))
    }
}
