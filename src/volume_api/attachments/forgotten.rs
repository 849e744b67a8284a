//! What Nova knows nothing of any more: that alone may be taken away without the token of a service.

use super::super::request::Call;
use super::is_asked_by_service;
use crate::db::{Attachment, Volume};
use crate::http::App;
use crate::model::AttachmentId;

/// The attachment that Nova has been asked about and has forgotten, if it has.
#[derive(Debug, Default)]
pub struct Forgotten(Option<AttachmentId>);

impl Forgotten {
    /// Whether it is to be asked at all: not where there is none, and not for a service.
    pub fn matters(app: &App, call: &Call) -> bool {
        app.nova.is_some() && !is_asked_by_service(app, call)
    }

    /// Asks Nova, unless its answer changes nothing. No transaction is open meanwhile: what is done with the attachment
    /// is checked again, and of which server it is never changes. While a volume moves, its Nova may have it under the
    /// name of the other copy, and a server may be writing to both.
    pub async fn ask(app: &App, volume: &Volume, attachment: Option<&Attachment>) -> Self {
        let (Some(nova), Some(attachment)) = (&app.nova, attachment) else { return Self::default() };
        let Some(server) = server(attachment) else { return Self::default() };
        if volume.is_migrating() {
            return Self::default();
        }
        match nova.has_forgotten(server, &volume.id, &attachment.id).await {
            Ok(true) => {
                tracing::warn!(
                    attachment.id = %attachment.id,
                    volume.id = %volume.id,
                    server.id = server,
                    "Nova has forgotten an attachment: it may be taken away, and devices may be left on its host"
                );
                Self(Some(attachment.id.clone()))
            }
            Ok(false) => Self::default(),
            Err(error) => {
                tracing::warn!(attachment.id = %attachment.id, error = %error, "Nova does not say whose it is");
                Self::default()
            }
        }
    }

    pub fn is(&self, attachment: &Attachment) -> bool {
        self.0.as_ref() == Some(&attachment.id)
    }
}

/// The server that uses it, as far as it has been told how.
pub fn server(attachment: &Attachment) -> Option<&str> {
    attachment.instance_id.as_deref().filter(|_| attachment.access.is_some())
}
