//! The HTTP client: plain HTTP on loopback, or TLS by rustls with ring and the machine's own roots.

use std::error::Error;
use std::sync::Arc;

/// A client that takes no defaults of the process, nor sets any: no proxy stands between it and the
/// daemon, and no redirection carries the key elsewhere.
pub(crate) fn http_client() -> Result<reqwest::Client, Box<dyn Error + Send + Sync>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls);
    Ok(builder.no_proxy().redirect(reqwest::redirect::Policy::none()).build()?)
}
