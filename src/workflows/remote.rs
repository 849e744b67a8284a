//! An image whose bytes lie on somebody's web server alone. Whoever needs them here takes them in anew, and holds them
//! against what the image's row says: a server may have other bytes by now.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;

use super::import_image::refused;
use super::{Context, Intake, lineage};
use crate::block::BlockStore;
use crate::db::{Image, ImageChange};
use crate::formats::Inspector;
use crate::jobs::{Cause, Run, StepError};
use crate::signature::{Signature, Signed};
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{Algorithm, TransferError};
use crate::web::{Download, WebError};

pub(super) struct Remote {
    image: Image,
    urls: Vec<String>,
}

/// What is made of them.
pub(super) struct Target<'a> {
    pub store: &'a Arc<dyn BlockStore>,
    pub name: &'a str,
    /// In bytes.
    pub object_size: u64,
    /// The bytes that there is room for.
    pub room: u64,
    /// What the bytes must be, when the image is signed.
    pub signed: Option<Signed>,
    /// For `checksum` and `os_hash_value`, where they are of use.
    pub digests: Option<Algorithm>,
}

impl Remote {
    /// `None`: a store of ours has the bytes, or nobody.
    pub(super) fn of(image: Image) -> Option<Self> {
        let urls = image.places().filter_map(|place| place.url.clone()).collect();
        image.is_on_the_web_alone().then_some(Self { image, urls })
    }

    /// What its bytes must be, when it is signed: by this key, where whoever asked has found it with their own token.
    pub(super) async fn signed(
        &self,
        context: &Context,
        key: Option<&str>,
    ) -> Result<Option<Signed>, StepError> {
        let properties = self.properties();
        let Some(key) = key else { return Ok(context.certificates.signed(properties, None).await?) };
        let signature = Signature::of(properties)?;
        Ok(signature.map(|signature| signature.by_key(key)).transpose()?)
    }

    /// Makes an image of this name of them, and answers what they are. Where it fails one may be left, with a part of
    /// them or with others. A signed image is held against its signature here: nobody has read it before.
    pub(super) async fn take_in(
        &self,
        context: &Context,
        target: &Target<'_>,
        run: &Run,
    ) -> Result<ImageChange, StepError> {
        let Target { store, name, object_size, room, ref signed, digests } = *target;
        // What an earlier try left, which may have come as far as the snapshot.
        lineage::take_away_sealed(store, name, run).await?;
        let download = self.begin(context).await?;
        let size = self.size().or(download.length);
        let too_small =
            || StepError::fatal(format!("The image has more than the {room} bytes there is room for."));
        if size.is_some_and(|size| size > room) {
            return Err(too_small());
        }
        run.check_allowed()?;
        let recorded = self.digest();
        let limit = context.options.intake.limit.min(room);
        let another = signed.as_ref().map(Signed::algorithm);
        let others = recorded.map(|(algorithm, _)| algorithm).into_iter().chain(another).collect();
        let intake = Intake { object_size, limit, digests, others, ..context.options.intake.clone() };
        // What they are is found out while they pass, before anybody reads them as that.
        let mut inspector = Inspector::default();
        let body = download.body.inspect_ok(|bytes| inspector.feed(bytes));
        let received = intake.take_in(store, name, size, body, &run.progress).await;
        let received = received.map_err(|error| match error {
            TransferError::TooLarge { limit } if limit == room => too_small(),
            TransferError::TooLong { .. } | TransferError::TooShort { .. } => changed(),
            error => refused(error),
        })?;
        metrics::transferred(Direction::Upload, received.size);
        if recorded
            .is_some_and(|(algorithm, hex)| received.digest(algorithm) != Some(&hex.to_ascii_lowercase()))
        {
            return Err(changed());
        }
        if let Some(signed) = signed {
            signed.check(received.digest(signed.algorithm()).unwrap_or_default())?;
        }
        let judged = intake.virtual_size(&self.image, &inspector.finish());
        let virtual_size = judged.map_err(|refusal| StepError::fatal(refusal.to_string()))?;
        Ok(ImageChange { virtual_size, ..intake.facts(&received) })
    }

    /// From the first server that has them.
    async fn begin(&self, context: &Context) -> Result<Download, StepError> {
        let mut failure = changed();
        for url in &self.urls {
            match context.web.get(url.as_str()).await {
                Ok(download)
                    if download.length.is_none_or(|length| self.size().is_none_or(|size| size == length)) =>
                {
                    return Ok(download);
                }
                Ok(_) => failure = changed(),
                Err(error) => failure = error.into(),
            }
        }
        Err(failure)
    }

    pub(super) fn properties(&self) -> &BTreeMap<String, String> {
        &self.image.properties.0
    }

    fn size(&self) -> Option<u64> {
        self.image.size.and_then(|size| u64::try_from(size).ok())
    }

    /// The one they are held against.
    fn digest(&self) -> Option<(Algorithm, &str)> {
        let Image { checksum, os_hash_algo, os_hash_value, .. } = &self.image;
        let secure = os_hash_algo.as_deref().and_then(|name| name.parse().ok()).zip(os_hash_value.as_deref());
        secure.or(checksum.as_deref().map(|checksum| (Algorithm::Md5, checksum)))
    }
}

fn changed() -> StepError {
    StepError::new(
        Cause::Fatal,
        WebError::Changed.to_string(),
        "they are not those that the image was made with",
    )
}
