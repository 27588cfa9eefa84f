//! The log over HTTP (C2SP tlog-tiles): its checkpoint and its tiles, as they lie in the folder.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use shared::Reject;
use transparency::Tile;

use super::Shared;
use super::error::Problem;
use super::lists::PUBLIC;
use super::openapi::{Operation, Schemas, binary};
use super::public::{TEXT, typed};

/// The checkpoint that is out.
pub(super) async fn checkpoint(State(api): Shared) -> Response<Body> {
    let folder = Arc::clone(&api.log);
    match tokio::task::spawn_blocking(move || folder.checkpoint()).await {
        Ok(Ok(Some(note))) => typed(StatusCode::OK, TEXT, note),
        _ => api.refuse("log", None, &Problem::NoSuchEndpoint),
    }
}

/// A tile of hashes or a bundle of entries: a full one never changes, nor does a partial one of one width.
pub(super) async fn tile(State(api): Shared, Path(path): Path<String>) -> Response<Body> {
    // Only what is spelt as a tile is looked for.
    let Ok(tile) = format!("tile/{path}").parse::<Tile>() else {
        return api.refuse("log", None, &Problem::NoSuchEndpoint);
    };
    let folder = Arc::clone(&api.log);
    match tokio::task::spawn_blocking(move || folder.read(tile)).await {
        Ok(Ok(bytes)) => {
            let mut response = typed(StatusCode::OK, OCTETS, bytes);
            response
                .headers_mut()
                .insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
            response
        }
        _ => api.refuse("log", None, &Problem::NoSuchEndpoint),
    }
}

pub(super) fn about_checkpoint(_: &mut Schemas) -> Operation {
    Operation::default()
        .answers(
            StatusCode::OK,
            "The checkpoint that is out, a signed note.",
            TEXT,
            json!({ "type": "string" }),
        )
        .rejecting_as(PUBLIC)
        .rejecting_as(&[Reject::NoSuchEndpoint])
}

pub(super) fn about_tile(_: &mut Schemas) -> Operation {
    let tile = json!({ "type": "string", "examples": ["0/000", "entries/000.p/7"] });
    Operation::default()
        .with_path("tile", "Which tile, as C2SP tlog-tiles spells it; it may have slashes.", tile)
        .answers(StatusCode::OK, "The tile.", OCTETS, binary())
        .rejecting_as(PUBLIC)
        .rejecting_as(&[Reject::NoSuchEndpoint])
}

const OCTETS: &str = "application/octet-stream";
