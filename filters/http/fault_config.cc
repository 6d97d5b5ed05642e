#include "config/xds/decode_common.h"
#include "filters/decoders.h"
#include "filters/http/fault.h"

#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"

namespace clew {
namespace {

FaultPolicy decode(const google::protobuf::Message& message, Scope& scope) {
  const auto& config = dynamic_cast<const envoy::extensions::filters::http::fault::v3::HTTPFault&>(message);
  FaultPolicy out;
  if (config.has_delay()) {
    Scope::Field field(scope, "delay");
    if (!config.delay().has_fixed_delay()) scope.fail("only a fixed_delay can be injected");
    out.delay = FaultPolicy::Delay{decode_duration(config.delay().fixed_delay(), scope),
                                   decode_percent(config.delay().percentage(), scope)};
  }
  if (config.has_abort()) {
    Scope::Field field(scope, "abort");
    FaultPolicy::Abort abort;
    abort.percent = decode_percent(config.abort().percentage(), scope);
    switch (config.abort().error_type_case()) {
      case envoy::extensions::filters::http::fault::v3::FaultAbort::kHttpStatus:
        abort.http_status = config.abort().http_status();
        if (abort.http_status < 200 || abort.http_status > 599) scope.fail("http_status", "must be 200 to 599");
        break;
      case envoy::extensions::filters::http::fault::v3::FaultAbort::kGrpcStatus:
        abort.grpc_status = config.abort().grpc_status();
        break;
      default: scope.fail("needs http_status or grpc_status");
    }
    out.abort = abort;
  }
  return out;
}

}  // namespace

Decoded<std::shared_ptr<const FilterFactory>> decode_fault(std::string_view name,
                                                           const google::protobuf::Message& message) {
  Scope scope;
  FaultPolicy policy = decode(message, scope);
  if (!scope.ok()) return DecodeError{scope.problem()};
  return make_fault(name, std::move(policy));
}

Decoded<std::shared_ptr<const FilterRouteConfig>> decode_fault_policy(std::string_view,
                                                                      const google::protobuf::Message& message) {
  Scope scope;
  auto policy = std::make_shared<FaultPolicy>(decode(message, scope));
  if (!scope.ok()) return DecodeError{scope.problem()};
  return std::shared_ptr<const FilterRouteConfig>(std::move(policy));
}

}  // namespace clew
