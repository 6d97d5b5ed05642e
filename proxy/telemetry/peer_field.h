// %FILTER_STATE(KEY:FORM:FIELD)% and %UPSTREAM_FILTER_STATE(…)% for what istio-proxy keeps of metadata exchange: keys
// downstream_peer, upstream_peer, and both with _obj. There are no other objects; other keys have no value.
#pragma once

#include "proxy/telemetry/field.h"

namespace clew {

/// TYPED, the default: JSON, keys in their order; PLAIN: «type=deployment,workload=…»; FIELD: one of namespace,
/// cluster, service, revision, app, version, workload, type, name, region, availability_zone.
FieldValue peer_field(const FormatItem& item, const FormatContext& context, std::string& scratch);

}  // namespace clew
