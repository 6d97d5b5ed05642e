// Access logs of listeners, connection managers and TCP proxies.
#pragma once

#include "config/snapshot/access_log.h"
#include "config/xds/scope.h"

#include "envoy/config/accesslog/v3/accesslog.pb.h"

#include <google/protobuf/repeated_ptr_field.h>

namespace clew {

/// Equal logs are one object: a mesh has thousands of chains with the same log.
AccessLogs decode_access_logs(
    const google::protobuf::RepeatedPtrField<envoy::config::accesslog::v3::AccessLog>& messages, std::string_view field,
    Scope& scope);

}  // namespace clew
