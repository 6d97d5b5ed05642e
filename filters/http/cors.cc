#include "filters/http/cors.h"

#include "filters/http/percent.h"

#include <algorithm>

namespace clew {

bool CorsPolicy::allows(std::string_view origin) const {
  return std::any_of(allow_origin.begin(), allow_origin.end(), [origin](const StringMatcher& matcher) {
    return matcher.matches("*") || matcher.matches(origin);
  });
}

namespace {

class Cors final : public Filter {
 public:
  explicit Cors(const CorsPolicy& policy) : policy_(policy) {}

  Verdict on_request(Stream& stream) override {
    const HeaderMap& headers = stream.request.headers;
    const std::string_view origin = headers.get(HeaderId::origin).value_or("");
    if (origin.empty()) return Continue{};
    const bool preflight = stream.request.method == "OPTIONS" &&
                           !headers.get(HeaderId::access_control_request_method).value_or("").empty();
    if (!policy_.allows(origin)) {
      if (preflight && !policy_.forward_not_matching_preflights) return answer({});
      return Continue{};
    }
    origin_ = stream.arena.copy(origin);
    if (!preflight) return Continue{};
    const bool private_network = headers.get(HeaderId::access_control_request_private_network) == "true";
    return answer_preflight(private_network && policy_.allow_private_network_access);
  }

  Verdict on_response(Stream& stream) override {
    if (origin_.empty() || answered_) return Continue{};
    HeaderMap& headers = stream.response.headers;
    headers.set(HeaderId::access_control_allow_origin, origin_);
    if (policy_.allow_credentials) headers.set(HeaderId::access_control_allow_credentials, "true");
    if (!policy_.expose_headers.empty()) headers.set(HeaderId::access_control_expose_headers, policy_.expose_headers);
    return Continue{};
  }

 private:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  Verdict answer(Headers headers) {
    answered_ = true;
    LocalReply reply;
    reply.status = 200;
    reply.details = "cors_response";
    reply.headers = std::move(headers);
    return reply;
  }

  Verdict answer_preflight(bool private_network) {
    Headers headers;
    const auto add = [&headers](HeaderId id, std::string_view value) {
      if (!value.empty()) headers.emplace_back(header_name(id), value);
    };
    add(HeaderId::access_control_allow_origin, origin_);
    add(HeaderId::access_control_allow_credentials, policy_.allow_credentials ? "true" : "");
    add(HeaderId::access_control_allow_private_network, private_network ? "true" : "");
    add(HeaderId::access_control_allow_methods, policy_.allow_methods);
    add(HeaderId::access_control_allow_headers, policy_.allow_headers);
    add(HeaderId::access_control_max_age, policy_.max_age);
    return answer(std::move(headers));
  }

  const CorsPolicy& policy_;
  std::string_view origin_;  // empty: no request of an origin that is allowed
  bool answered_ = false;
};

class Factory final : public FilterFactory {
 public:
  explicit Factory(std::string_view name) : name_(name) {}
  std::unique_ptr<Filter> make(const Stream& stream) const override {
    const auto* policy = dynamic_cast<const CorsPolicy*>(route_config(stream, name_));
    if (!policy || !draw_percent(stream.worker, policy->enabled_percent)) return nullptr;
    return std::make_unique<Cors>(*policy);
  }
  std::string_view name() const override { return name_; }

 private:
  const std::string name_;
};

}  // namespace

std::shared_ptr<const FilterFactory> make_cors(std::string_view name) { return std::make_shared<Factory>(name); }

}  // namespace clew
