#include "proxy/admin/certs_page.h"

#include "config/xds/json.h"
#include "proxy/net/certificate.h"

#include "envoy/admin/v3/certs.pb.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>

namespace clew {

namespace {

using google::protobuf::util::TimeUtil;

std::int64_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

void describe(std::string_view pem, WallTime now,
              google::protobuf::RepeatedPtrField<envoy::admin::v3::CertificateDetails>* into) {
  for (const auto& certificate : parse_certificates(pem)) {
    const auto info = describe_certificate(certificate.get());
    auto* details = into->Add();
    details->set_path("<inline>");
    details->set_serial_number(info->serial);
    for (const auto& uri : info->uri_sans) details->add_subject_alt_names()->set_uri(uri);
    for (const auto& dns : info->dns_sans) details->add_subject_alt_names()->set_dns(dns);
    for (const auto& ip : info->ip_sans) details->add_subject_alt_names()->set_ip_address(ip);
    *details->mutable_valid_from() = TimeUtil::SecondsToTimestamp(seconds(info->valid_from));
    *details->mutable_expiration_time() = TimeUtil::SecondsToTimestamp(seconds(info->valid_until));
    const std::int64_t left = seconds(info->valid_until) - seconds(now);
    details->set_days_until_expiration(left > 0 ? static_cast<std::uint64_t>(left / 86400) : 0);
  }
}

}  // namespace

AdminResponse certs_page(const ConfigStore& store, WallTime now) {
  // Envoy has an entry for each TLS context with what it trusts and what it shows; here the workload's own two secrets
  // make one, every other secret one of its own.
  std::map<std::string, envoy::admin::v3::Certificate> entries;
  for (const auto& [name, record] : store.secrets()) {
    if (!record.active) continue;
    auto& entry = entries[name == "ROOTCA" ? "default" : name];
    describe(record.active->value->trusted_ca, now, entry.mutable_ca_cert());
    describe(record.active->value->certificate_chain, now, entry.mutable_cert_chain());
  }
  envoy::admin::v3::Certificates certificates;
  for (auto& [name, entry] : entries) *certificates.add_certificates() = std::move(entry);
  return AdminResponse::json(to_json(certificates, {.pretty = true, .defaults = true}));
}

}  // namespace clew
