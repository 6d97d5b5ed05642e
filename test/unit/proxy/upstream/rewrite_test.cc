#include "proxy/upstream/rewrite.h"

#include "fixture.h"

using namespace clew;

namespace {

PathMatch match(PathMatch::Kind kind, std::string text) {
  PathMatch out;
  out.kind = kind;
  out.text = std::move(text);
  return out;
}

HeaderToAdd add(std::string name, std::string value,
                HeaderToAdd::Action action = HeaderToAdd::Action::append_if_exists_or_add) {
  HeaderToAdd out;
  out.name = std::move(name);
  FormatItem item;
  item.text = std::move(value);
  out.value.push_back(std::move(item));
  out.action = action;
  return out;
}

}  // namespace

TEST_CASE("rewrite of a path") {
  using Kind = PathMatch::Kind;
  ForwardAction action;
  REQUIRE(rewrite_path(action, match(Kind::prefix, "/a"), "/a/b?c") == "/a/b?c");
  action.prefix_rewrite = "/z";
  REQUIRE(rewrite_path(action, match(Kind::prefix, "/a"), "/a/b?c") == "/z/b?c");
  REQUIRE(rewrite_path(action, match(Kind::separated_prefix, "/a"), "/a") == "/z");
  REQUIRE(rewrite_path(action, match(Kind::exact, "/a"), "/a?q=/a") == "/z?q=/a");
  action.prefix_rewrite = "/";
  REQUIRE(rewrite_path(action, match(Kind::prefix, "/a/"), "/a/b") == "/b");
  action.prefix_rewrite.clear();
  action.regex_rewrite = Regex::compile("^/svc/([^/]+)(/.*)$");
  action.regex_substitution = "\\2/inst/\\1";
  REQUIRE(rewrite_path(action, match(Kind::regex, ""), "/svc/foo/v1/api?x=/svc/a/b") == "/v1/api/inst/foo?x=/svc/a/b");
}

TEST_CASE("what routes change in requests and answers") {
  OneEndpoint f;
  Request r(f);
  ForwardAction& action = r.action();
  action.host_rewrite = "other.test";
  action.append_x_forwarded_host = true;
  action.prefix_rewrite = "/new";
  action.clusters[0].headers =
      std::make_shared<HeaderMutations>(HeaderMutations{{add("x-order", "cluster")}, {}, {}, {}});
  Route& route = r.table->hosts[0].routes[0];
  route.path.text = "/old";
  const auto mutations = std::make_shared<HeaderMutations>();
  route.header_mutations = mutations;
  mutations->request_add = {add("x-order", "route"),
                            add("x-set", "new", HeaderToAdd::Action::overwrite_if_exists_or_add),
                            add("x-absent", "2", HeaderToAdd::Action::add_if_absent),
                            add("x-not-there", "3", HeaderToAdd::Action::overwrite_if_exists), add("x-empty", "")};
  mutations->request_remove = {"x-gone"};
  mutations->response_add = {add("x-by", "route")};
  mutations->response_remove = {"x-secret"};
  r.table->hosts[0].header_mutations = std::make_shared<HeaderMutations>(
      HeaderMutations{{add("x-order", "host", HeaderToAdd::Action::overwrite_if_exists)}, {}, {}, {}});
  r.path = "/old/thing";
  r.headers = {{"x-set", "old"}, {"x-gone", "1"}, {"x-absent", "1"}};
  r.start();
  const HeaderMap& out = r.stream->request.headers;
  REQUIRE(r.stream->request.authority == "other.test");
  REQUIRE(r.stream->request.path == "/new/thing");
  REQUIRE(out.get("x-envoy-original-path") == "/old/thing");
  REQUIRE(out.get("x-forwarded-host") == "host.test");
  REQUIRE(out.get_all("x-order") == "host");  // the least specific has the last word
  REQUIRE(out.get_all("x-set") == "new");
  REQUIRE(out.get_all("x-absent") == "1");
  REQUIRE_FALSE(out.get("x-gone"));
  REQUIRE_FALSE(out.get("x-not-there"));
  REQUIRE_FALSE(out.get("x-empty"));
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\nx-secret: 1\r\ncontent-length: 0\r\n\r\n");
  f.t.poll();
  REQUIRE(r.response() == nullptr);
  REQUIRE(r.stream->response.headers.get("x-by") == "route");
  REQUIRE_FALSE(r.stream->response.headers.get("x-secret"));
}
