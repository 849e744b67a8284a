//! What other services answer, which is read no further than it may be long.

use reqwest::Response;
use serde::de::DeserializeOwned;

/// Without the address: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the answer broke off")]
    BrokenOff(#[source] reqwest::Error),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the answer cannot be read")]
    Strange(#[from] serde_json::Error),
}

/// The whole body, of `longest` bytes at the most.
pub async fn bytes_within(mut answer: Response, longest: usize) -> Result<Vec<u8>, AnswerError> {
    let broken_off = |error: reqwest::Error| AnswerError::BrokenOff(error.without_url());
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(broken_off)? {
        if bytes.len() + piece.len() > longest {
            return Err(AnswerError::TooLong(longest));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Likewise, and what it says.
pub async fn json_within<T: DeserializeOwned>(answer: Response, longest: usize) -> Result<T, AnswerError> {
    Ok(serde_json::from_slice(&bytes_within(answer, longest).await?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_no_further_than_it_may_be_long() {
        let answer = || Response::from(axum::http::Response::new("[1, 2]"));
        assert_eq!(bytes_within(answer(), 6).await.unwrap(), b"[1, 2]");
        assert!(matches!(bytes_within(answer(), 5).await, Err(AnswerError::TooLong(5))));
        assert_eq!(json_within::<Vec<u8>>(answer(), 6).await.unwrap(), [1, 2]);
        assert!(matches!(json_within::<String>(answer(), 6).await, Err(AnswerError::Strange(_))));
        assert!(matches!(json_within::<String>(answer(), 0).await, Err(AnswerError::TooLong(0))));
    }
}
