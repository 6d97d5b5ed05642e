#include "proxy/http/client_cert_header.h"

namespace clew {
namespace {

void add(std::string& out, std::string_view key, std::string_view value, bool quoted = false) {
  if (!out.empty()) out += ';';
  out.append(key).append(1, '=');
  if (quoted) out += '"';
  out += value;
  if (quoted) out += '"';
}

/// By, Hash, then what is asked for, in Envoy's order.
std::string element(const HttpConnectionManager& hcm, const TlsInfo& tls) {
  std::string out;
  const CertificateInfo& peer = *tls.peer;
  if (tls.local)
    for (const std::string& uri : tls.local->uri_sans) add(out, "By", uri);
  if (!peer.sha256.empty()) add(out, "Hash", peer.sha256);
  const auto& details = hcm.client_cert_details;
  if (details.cert && !peer.pem_urlencoded.empty()) add(out, "Cert", peer.pem_urlencoded, true);
  if (details.chain && !peer.chain_urlencoded.empty()) add(out, "Chain", peer.chain_urlencoded, true);
  if (details.subject) add(out, "Subject", peer.subject, true);  // the key is there though the subject be empty
  if (details.uri) {
    for (const std::string& uri : peer.uri_sans) add(out, "URI", uri);
    if (peer.uri_sans.empty()) add(out, "URI", "");
  }
  if (details.dns)
    for (const std::string& dns : peer.dns_sans) add(out, "DNS", dns);
  return out;
}

}  // namespace

void forward_client_cert(HeaderMap& headers, const HttpConnectionManager& hcm, const TlsInfo* tls) {
  using Mode = HttpConnectionManager::ForwardClientCert;
  const Mode mode = hcm.forward_client_cert;
  if (mode == Mode::always_forward_only) return;
  if (mode == Mode::sanitize || !tls || !tls->peer) {
    headers.remove(HeaderId::x_forwarded_client_cert);
    return;
  }
  if (mode == Mode::append_forward) {
    // Several lines become one first: the last element is to be ours.
    if (const auto all = headers.get_all("x-forwarded-client-cert"))
      headers.set(HeaderId::x_forwarded_client_cert, *all);
    headers.append(HeaderId::x_forwarded_client_cert, element(hcm, *tls));
  }
  if (mode == Mode::sanitize_set) headers.set(HeaderId::x_forwarded_client_cert, element(hcm, *tls));
}

}  // namespace clew
