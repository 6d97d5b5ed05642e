#include "filters/http/cors.h"

#include "test/unit/filters/stream_fixture.h"

namespace clew {
namespace {

StringMatcher exact(std::string text) {
  StringMatcher out;
  out.text = std::move(text);
  return out;
}

struct Fixture : StreamFixture {
  Fixture() {
    policy->allow_origin.push_back(exact("http://good.test"));
    policy->allow_methods = "GET,POST";
    policy->max_age = "60";
    policy->expose_headers = "x-e";
    policy->allow_credentials = true;
    route.filter_config.emplace("cors", policy);
    stream.route = &route;
  }
  Verdict ask(std::string_view method, std::string_view origin, bool preflight = false) {
    stream.request.method = method;
    stream.request.headers.clear();
    if (!origin.empty()) stream.request.headers.add(HeaderId::origin, origin);
    if (preflight) stream.request.headers.add(HeaderId::access_control_request_method, "PUT");
    filter = factory->make(stream);
    REQUIRE(filter);
    return filter->on_request(stream);
  }
  std::shared_ptr<CorsPolicy> policy = std::make_shared<CorsPolicy>();
  Route route;
  std::shared_ptr<const FilterFactory> factory = make_cors("cors");
  std::unique_ptr<Filter> filter;
};

TEST_CASE("cors: a preflight is answered here", "[filters]") {
  Fixture f;
  const Verdict verdict = f.ask("OPTIONS", "http://good.test", true);
  const auto* reply = std::get_if<LocalReply>(&verdict);
  REQUIRE(reply);
  CHECK(reply->status == 200);
  using Header = std::pair<std::string, std::string>;
  CHECK(reply->headers == std::vector<Header>{{"access-control-allow-origin", "http://good.test"},
                                              {"access-control-allow-credentials", "true"},
                                              {"access-control-allow-methods", "GET,POST"},
                                              {"access-control-max-age", "60"}});
}

TEST_CASE("cors: an answer is marked for the origin that asked", "[filters]") {
  Fixture f;
  CHECK(std::holds_alternative<Continue>(f.ask("GET", "http://good.test")));
  f.stream.response.headers.add(HeaderId::access_control_allow_origin, "*");  // the application's own word is replaced
  f.filter->on_response(f.stream);
  CHECK(f.stream.response.headers.get(HeaderId::access_control_allow_origin) == "http://good.test");
  CHECK(f.stream.response.headers.get(HeaderId::access_control_allow_credentials) == "true");
  CHECK(f.stream.response.headers.get(HeaderId::access_control_expose_headers) == "x-e");
}

TEST_CASE("cors: nothing for other origins, or none", "[filters]") {
  Fixture f;
  const std::string origin = GENERATE("", "http://evil.test", "http://good.test.evil");
  CHECK(std::holds_alternative<Continue>(f.ask("GET", origin)));
  f.filter->on_response(f.stream);
  CHECK(f.stream.response.headers.size() == 0);
}

TEST_CASE("cors: a preflight of another origin goes upstream unless told otherwise", "[filters]") {
  Fixture f;
  CHECK(std::holds_alternative<Continue>(f.ask("OPTIONS", "http://evil.test", true)));
  f.policy->forward_not_matching_preflights = false;
  const Verdict verdict = f.ask("OPTIONS", "http://evil.test", true);
  const auto* reply = std::get_if<LocalReply>(&verdict);
  REQUIRE(reply);
  CHECK(reply->headers.empty());
}

TEST_CASE("cors: no policy, or none in force, no filter", "[filters]") {
  Fixture f;
  f.policy->enabled_percent = 0;
  CHECK_FALSE(f.factory->make(f.stream));
  f.stream.route = nullptr;
  CHECK_FALSE(f.factory->make(f.stream));
}

}  // namespace
}  // namespace clew
